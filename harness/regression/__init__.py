"""Compares two versions of the software: whether models became worse, or the code slower."""
