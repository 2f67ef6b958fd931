"""Images and labels: import, label, review, export."""
