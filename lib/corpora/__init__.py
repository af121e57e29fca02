"""Text that others published: Common Crawl files, texts out of packages, texts that people rated.

Takes files, package requirements; gives pages, tables of rated texts.
"""
