"""Commands: run a parameter set, plan it, confirm it, export it and write the README's numbers.

Input: a command line. Output: files and an exit code.
"""
