"""The four things a plugin may bring: a dataset, a model, an adapter, an evaluator."""
