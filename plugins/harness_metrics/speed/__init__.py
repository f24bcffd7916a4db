"""Speed and cost."""
