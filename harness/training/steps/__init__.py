"""Training steps: eager, compiled or captured."""
