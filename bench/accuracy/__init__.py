"""How many images are read right, and how fast a network learns and reads."""
