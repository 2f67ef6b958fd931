"""Training loop, data snapshot, and diagnosis of a run from its metrics."""
