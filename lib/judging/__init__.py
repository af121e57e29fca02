"""Who gives a text its valence on the human scale, and how those judges are made.

Takes texts; gives valences from −4 to +4, NaN where there is no verdict.
"""
