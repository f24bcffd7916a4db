"""Data sets in memory: splits, transforms, sources of data, and decoded copies on disk."""
