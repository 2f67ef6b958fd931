"""Benchmarks of reliability: kill processes at random, and count losses."""
