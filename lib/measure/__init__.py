"""Measure your own model with one command (`python -m lib.measure`), and compare finished parameter sets.

The input is a model (hub id, folder, GGUF file or server URL) or a table of completions, and a time budget.
The output is a parameter set, its finished run, and a card.

- `identify` finds out what the model is.
- `budget` chooses the design.
- `answers` generates the completions of the design.
- `sets` writes the parameter set.
- `tables` handles completions made elsewhere.
- `compare` compares finished sets.

The card itself is in `lib.report.card`.
"""
