"""Bounds on log p(x) and its estimates."""
