"""General OCR readers from packages, limited to exactly N characters of a charset."""
