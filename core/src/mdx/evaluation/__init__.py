"""What a prediction is worth: scores of cases, sites and populations, and their uncertainty."""
