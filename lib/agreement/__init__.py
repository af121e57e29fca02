"""Judges against people: on rated texts, on labelled completions, and the threshold that people's ratings
give.

Takes ratings, labels, judgements; gives tables of agreement with n and interval.
"""
