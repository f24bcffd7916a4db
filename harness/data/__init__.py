"""Data sets in memory: splits, transforms, where data come from, and decoded copies on disk."""
