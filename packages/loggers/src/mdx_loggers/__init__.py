"""Loggers of runs."""
