"""Files: the cache of fetched files, tables of others in any format, and the tables and journals of a run.

Input: paths, package requirements and DataFrames. Output: checked files and DataFrames.
"""
