"""Trained peers: a CRNN and fast-plate-ocr."""
