"""A made-up test-time adaptation, with a verb of its own."""
