"""A made-up method of self-supervision, then of several findings."""
