"""The leak lab: try one context, its neutral partner and your own stem (notebooks/00_leak_lab.ipynb)."""
