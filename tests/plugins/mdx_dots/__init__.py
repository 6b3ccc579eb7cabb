"""A made-up detector."""
