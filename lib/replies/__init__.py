"""From a model's reply to a completion: thoughts and preambles removed, one sentence kept, an outcome named.

Input: a Reply. Output: a completion, or the reason why there is none.
"""
