"""Training: models say what to minimise, this package minimises it."""
