"""The network, its settings, its weights, and how it reads images. Torch begins here."""
