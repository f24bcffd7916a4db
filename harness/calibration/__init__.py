"""Calibration: estimators of log p(x) are compared with models whose log p(x) is known exactly."""
