"""Components that any page may use. A folder named after a page holds its sections."""
