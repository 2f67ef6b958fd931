"""Training and evaluation jobs of a project, with recipes, readings and differences."""
