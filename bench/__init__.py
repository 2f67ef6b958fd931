"""Benchmarks: cells, the grid that runs them, and the tables of results."""
