"""Benchmarks of page speed, and of storing every label as typed."""
