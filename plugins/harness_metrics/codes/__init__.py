"""Metrics of codes."""
