"""Browser widgets, one folder each: the server side (Python) next to the browser side (JavaScript)."""
