"""Execution: a plan carried out, in this process or in worker processes side by side."""
