"""Evaluation of readings: metrics, calibration, slices, comparison. No torch, no database."""
