"""The leakage quantities, and what they are compared by.

Takes judgements; gives tables of estimates with n and interval.
"""
