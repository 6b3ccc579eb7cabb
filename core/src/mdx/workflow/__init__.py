"""The way of a run: plan, identity, execution, records, scores, application to new files."""
