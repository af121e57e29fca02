"""Generation: which completions a run needs, which of them exist, and generating the missing ones.

Input: prompts and a Backend. Output: a table of completions and a table of next-token measures.
"""
