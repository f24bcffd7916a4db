"""The machine: device, memory, load, peak rates, and faster ways to compute."""
