"""Reading of images outside Slotlab."""
