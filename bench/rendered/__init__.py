"""Text rendered in any style, and the network that is trained on it."""
