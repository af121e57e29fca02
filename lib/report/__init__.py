"""Tables with units, figures and sentences with computed numbers, for notebooks and the terminal.

Takes the tables of every other package. Gives DataFrames, figures and Markdown to show.
"""
