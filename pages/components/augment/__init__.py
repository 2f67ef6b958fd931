"""Sections of the Augment page."""
