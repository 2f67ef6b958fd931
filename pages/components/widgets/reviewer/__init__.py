"""The reviewing widget: check labels in a grid, or resolve disputed images one at a time."""
