"""The claims C0 to C5: what each claim tests, and the rules that decide it.

Takes tables of estimates; returns rows of the claims board.
"""
