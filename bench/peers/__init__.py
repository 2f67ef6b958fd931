"""A CRNN trained by our recipe."""
