"""The browser widgets, each in its folder: server side beside browser side."""
