"""Leakage quantities, and the analyses that compare them.

Takes tables of judgements; returns tables of estimates with n and interval.
"""
