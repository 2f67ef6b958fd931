"""Sections of the Predict page."""
