"""A training or an evaluation as a job of a project."""
