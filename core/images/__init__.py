"""Pixels: decode, crop, color, draw and augment images. No torch."""
