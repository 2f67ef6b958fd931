"""Benchmarks of accuracy, and of training and reading speed."""
