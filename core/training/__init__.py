"""How a network learns, and what its metrics say about it."""
