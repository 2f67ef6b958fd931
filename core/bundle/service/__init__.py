"""A bundle as an HTTP service: `slotlab api`. It loads no torch and keeps no image."""
