"""What people read: tables with units, figures, sentences with computed numbers.

Takes tables of every other package; gives DataFrames, figures and Markdown to show.
"""
