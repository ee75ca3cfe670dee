"""What a payment costs, and how fast the codec is. ``python -m benches --help``."""
