"""Corpora: published text from Common Crawl files, from packages, and texts that people rated.

Input: files and package requirements. Output: pages and tables of rated texts.
"""
