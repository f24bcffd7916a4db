"""Sample quality: samples compared with test images in a space of features."""
