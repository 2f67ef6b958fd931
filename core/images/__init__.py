"""Pixels: decode, crop, name colors, draw and augment images. No torch."""
