"""Slotlab's rules and numbers: everything that can be tested without a browser."""
