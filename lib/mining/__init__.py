"""A benchmark out of free text: pages to candidate sentences, filtered, matched, assigned.

Takes WET files; gives the same table of prompts as the curated one.
"""
