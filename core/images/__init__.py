"""Images without torch: crop, color names, rendering, augmentation."""
