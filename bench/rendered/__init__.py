"""Text rendered in any style, and the network that is trained on it.

The styles are drawn from general ranges. No pixel, parameter or font was chosen from a real portal's images, and
nothing is shared with the demo project's renderer.
"""
