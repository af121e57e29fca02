"""Files: the cache of what is fetched, tables of others in any format, and the tables and journals of a run.

Takes paths, package requirements, DataFrames; gives checked files and DataFrames.
"""
