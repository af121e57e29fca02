"""Convert the tables of `lib.lab.pair` to plain values that can be sent to the page."""

import pandas as pd

from lib.lab import pair


def rows(table: pd.DataFrame) -> list[dict]:
    """Return the completions for the page, one entry per draw.

    An entry has the number of the draw and, for each arm, pieces, text, outcome, note and valence.
    """
    lines: dict[int, dict] = {}
    for row in table.itertuples():
        text = row.completion if isinstance(row.completion, str) else None
        lines.setdefault(row.sample_index, {"draw": int(row.sample_index) + 1})[row.arm] = {
            "pieces": pair.marked(text) if text else [],
            "text": text,
            "outcome": row.outcome,
            "note": row.note,
            "valence": None if pd.isna(row.valence) else round(float(row.valence), 2),
        }
    return list(lines.values())


def tokens(table: pd.DataFrame, tokenizer) -> dict[str, list[dict]]:
    """Return the tokens that gain most and those that lose most, for the page.

    A token that begins a word has its lexicon valence; all others have 0.
    """
    changes = {}
    for name, subset in zip(("gains", "losses"), pair.most_changed(table, tokenizer), strict=True):
        valences = [
            sum(valence for _, valence in pair.marked(token)) if token[:1] == " " else 0.0
            for token in subset["token"]
        ]
        changes[name] = subset.round(3).assign(valence=valences).to_dict("records")
    return changes
