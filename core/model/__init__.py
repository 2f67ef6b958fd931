"""Network, settings, checkpoints and prediction. Only this room and those above it import torch."""
