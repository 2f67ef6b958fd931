"""Cells of benchmarks, and the grid that runs them."""
