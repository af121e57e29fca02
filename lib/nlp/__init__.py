"""Text: normal form, sentences, VADER's valence, sentence vectors.

Takes strings; gives strings, numbers, vectors.
"""
