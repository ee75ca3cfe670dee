"""Perform the effects that flows yield; they decide nothing."""
