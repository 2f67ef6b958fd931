"""Type labels, one image after the other."""
