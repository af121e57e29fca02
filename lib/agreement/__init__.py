"""Judges against people: on rated texts and on labelled completions, and thresholds fitted to human ratings.

Takes ratings, labels and judgements; returns tables of agreement with n and interval.
"""
