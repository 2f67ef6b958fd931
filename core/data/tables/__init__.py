"""Labels as people have them: tables of many formats, and names of files and folders. Knows no database."""
