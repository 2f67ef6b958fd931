"""Accuracy and speed."""
