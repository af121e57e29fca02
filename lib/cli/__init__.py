"""Commands: run a set, plan it, confirm it, export it, write the README's numbers.

Takes a command line; gives files, and an exit code.
"""
