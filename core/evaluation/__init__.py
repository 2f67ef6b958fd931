"""Evaluation of readings: metrics, calibration, slices, comparison. Uses neither torch nor the database."""
