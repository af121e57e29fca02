"""The claims C0 to C5: what each tests, and the rules that decide.

Takes tables of estimates; gives rows of the claims board.
"""
