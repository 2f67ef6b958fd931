"""The network, its weights, and how it reads images. Torch begins here."""
