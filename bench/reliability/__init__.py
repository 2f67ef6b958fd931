"""Reliability: kill processes at random, and count losses."""
