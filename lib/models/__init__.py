"""Backends (text in, text out): keyed sampling, and models of transformers, servers, files and tests.

Input: a Model of a parameter set. Output: a `base.Backend`.
"""
