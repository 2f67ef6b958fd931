"""What the pages are made of: what any page may use lies here, the rest in one folder a page."""
