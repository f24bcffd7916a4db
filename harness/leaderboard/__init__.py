"""Leaderboards: records that may be compared, ranked with their uncertainty, and written in several formats."""
