"""Tables of `lib.lab.pair` as the page shows them: plain values that can be sent to it."""

import pandas as pd

from lib.lab import pair


def rows(table: pd.DataFrame) -> list[dict]:
    """The completions as the page shows them: a line a draw, each arm with its pieces, outcome, note and
    valence."""
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
    """The tokens that gain and lose most, as the page shows them, with their lexicon valence where they begin
    a word."""
    parts = {}
    for name, part in zip(("gains", "losses"), pair.most_changed(table, tokenizer), strict=True):
        valences = [
            sum(valence for _, valence in pair.marked(token)) if token[:1] == " " else 0.0
            for token in part["token"]
        ]
        parts[name] = part.round(3).assign(valence=valences).to_dict("records")
    return parts
