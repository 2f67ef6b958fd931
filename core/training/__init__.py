"""Training loop, data snapshot, and diagnosis of a run."""
