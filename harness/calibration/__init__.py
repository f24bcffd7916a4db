"""Calibration: estimators of log p(x) compared with exact answers."""
