"""The contracts between the harness and its plugins, as code."""
