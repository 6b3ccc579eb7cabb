"""Pictures."""


def overlay(path, image, prediction, reference, spacing_mm, title):
    """Nothing yet."""
