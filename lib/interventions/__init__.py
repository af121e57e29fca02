"""Interventions: ways to keep a model from leaking that are more than a prompt.

For: where in a model an unrelated sentiment sits, and what happens if it is taken out there.
Takes: a backend of the transformers library and prompts. Gives: changed backends, directions, adapters.
May import: generation and what is below it.
"""
