"""How good samples are: distances of their distribution to that of test images, in a space of features."""
