"""The widget beside the title of a page: its keys on `?`, and the link to its guide."""
