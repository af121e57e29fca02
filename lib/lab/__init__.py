"""The leak lab: one context, its neutral partner and a stem of one's own, played with by hand
(notebooks/00_leak_lab.ipynb)."""
