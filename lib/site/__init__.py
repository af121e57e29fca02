"""The site of the rendered analyses: executed notebooks as articles, boards, the explorer of completions.

Takes: executed notebooks, boards (headline.csv), cards and tables of finished runs.
Gives: a folder of HTML pages that opens from disk and asks no other host for anything.
May import: everything but `lib.lab` and `lib.measure`.
"""
