"""What a model wrote, and what of it counts: thoughts and preambles off, one sentence, an outcome with a
name.

Takes a Reply; gives a completion or the reason why there is none.
"""
