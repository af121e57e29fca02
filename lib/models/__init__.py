"""Backends: text in, text out. Keyed sampling, and the models of transformers, servers, files and tests.

Takes a Model of a parameter set; gives a `base.Backend`.
"""
