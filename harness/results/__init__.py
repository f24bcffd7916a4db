"""Results on disk: records, fits and checkpoints; how results are compared; what they were computed with."""
