"""Bounds and likelihoods."""
