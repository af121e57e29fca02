"""The prompts: curated stems and contexts, their assignment, published tables and sentences of the user.

Takes the CSV files of `lib/data/` or of the user; returns a table of prompts (`curated_prompts.PROMPTS`).
"""
