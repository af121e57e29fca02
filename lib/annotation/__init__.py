"""What people say of completions: which are asked about, the form, labels from and to other tools.

Takes judgements; gives labels, each with who gave it.
"""
