"""Planning: names and settings resolved and checked, and spelt out as cells, before any work is done."""
