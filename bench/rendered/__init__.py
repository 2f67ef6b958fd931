"""Text rendered in any style, and the network trained on it."""
