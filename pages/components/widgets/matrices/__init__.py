"""One confusion matrix for each position."""
