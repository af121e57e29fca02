"""Text processing: normal form, first sentences, VADER's valence, sentence embeddings.

Input: strings. Output: strings, numbers, vectors.
"""
