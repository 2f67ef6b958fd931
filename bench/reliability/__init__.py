"""Benchmarks of reliability: kill every process of Slotlab at random, and count what is lost."""
