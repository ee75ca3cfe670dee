"""A small shop on one payment terminal, with Django."""
