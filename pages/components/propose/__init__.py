"""Sections of the Propose page."""
