"""Images and labels: import, labeling, review, export."""
