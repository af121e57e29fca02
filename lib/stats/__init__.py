"""Statistics independent of leakage: clustered estimates, resamples, meta-regression, simultaneous intervals.

Takes arrays and clusters; returns estimates with their intervals.
"""
