"""Training: minimises the objectives of models."""
