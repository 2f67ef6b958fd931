"""Measurements: what is compared, on which images, with which result. Cells, their grid and their tables lie here."""
