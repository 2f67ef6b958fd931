"""Page speed, and storing every label as typed."""
