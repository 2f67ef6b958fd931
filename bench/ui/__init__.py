"""How fast the pages answer, and whether what was typed is what is stored."""
