"""Writes a new package with one plugin, ready to be installed."""
