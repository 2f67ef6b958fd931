"""A training or an evaluation as a job of a project, with its recipes, readings and differences."""
