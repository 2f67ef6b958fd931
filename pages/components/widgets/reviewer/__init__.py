"""Check labels in a grid, decide disputes on a desk."""
