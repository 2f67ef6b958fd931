"""A widget without content that folds the sidebar of a narrow screen."""
