"""The confusion matrix widget: one matrix per position and one for all positions."""
