"""The front door: measure one's own model with one command (`python -m lib.measure`), and compare finished
sets.

Takes what a person has (a hub id, a folder, a GGUF file, a server, a table of completions) and a time budget;
gives a parameter set, its finished run, and a card. `identify` tells what the model is, `budget` chooses the
design, `answers` asks for it, `sets` writes the parameter set, `tables` is for completions made elsewhere,
`compare` puts finished sets side by side; the card itself is `lib.report.card`.
"""
