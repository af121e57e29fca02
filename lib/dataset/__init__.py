"""The curated benchmark and its kin: stems, contexts, which of them meet, published prompts, sentences of the
user's own.

Takes the CSV files of `lib/data/` or of the user; gives a table of prompts (`curated_prompts.PROMPTS`).
"""
