"""Images of an evaluation, with a desk to correct a label."""
