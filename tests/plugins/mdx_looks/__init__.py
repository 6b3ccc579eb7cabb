"""A made-up harmonisation."""
