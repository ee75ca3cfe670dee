"""What a payment costs: ``python -m benches payments``. The goals are in ``goals.py``."""
