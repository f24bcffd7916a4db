"""What codes look like."""
