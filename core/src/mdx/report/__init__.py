"""Pages and tables that show what a run measured."""
