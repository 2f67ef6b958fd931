"""Image processing without torch: decode, crop, color names, rendering, augmentation."""
