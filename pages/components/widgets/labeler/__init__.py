"""The labeling widget: type labels, one image at a time."""
