"""A widget without content that keeps one theme for all pages."""
