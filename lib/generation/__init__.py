"""Asking: which completions a run needs, which are at hand, and making the missing ones.

Takes prompts and a Backend; gives a table of completions, one of next-token measures.
"""
