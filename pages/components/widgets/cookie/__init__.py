"""A widget without content that sets a cookie."""
