"""Statistics that know nothing of leakage: clustered estimates, resamples, meta-regression, simultaneous
intervals.

Takes arrays, clusters; gives estimates with their intervals.
"""
