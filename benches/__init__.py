"""How fast the codec is, against what one would write without it. ``python -m benches --help``."""
