"""What any page may use; a folder with the name of a page holds its sections."""
