"""Judges: how a text gets its valence on the human scale, and how those judges are trained.

Input: texts. Output: valences from −4 to +4, NaN where there is no verdict.
"""
