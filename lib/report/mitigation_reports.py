"""What notebook 06 says of mitigation: the tables of `lib.claims.mitigation` as people read them, and a
sentence under each."""

import numpy as np
import pandas as pd

from lib.claims.mitigation import CONTROL, CONTROLS, NONE, PROMPT
from lib.config import mitigation_texts
from lib.report import reports
from lib.report.reports import COUNTS


def texts(mitigations: dict[str, str | list[str]], controls: list[str]) -> pd.DataFrame:
    """The mitigation prompts in all their wordings, and which of them are controls."""
    rows = [
        (name, wording, text, CONTROL if name in controls else "asks for less leakage")
        for name, value in mitigations.items()
        for wording, text in enumerate(mitigation_texts.texts(value), start=1)
    ]
    return pd.DataFrame(rows, columns=["mitigation", "wording", "text", "role"])


def side_by_side(judgements: pd.DataFrame, seed: int, count: int = 5) -> pd.DataFrame:
    """`count` random charged prompts of a model: the completion with the same noise under each mitigation,
    one column each."""
    charged = judgements[judgements["arm"].isin(["negative", "positive"])]
    wide = charged.pivot(
        index=["model", "context", "stem", "sample_index"], columns="mitigation", values="completion"
    ).dropna()
    names = charged["mitigation"].unique()
    return (
        wide.sample(min(count, len(wide)), random_state=seed)[names].rename_axis(columns=None).reset_index()
    )


def effects(table: pd.DataFrame, stamped: str = "", places: int = 2) -> pd.DataFrame:
    """A table of `mitigation.effects` as people read it: a row for each mitigation, its change and what it
    retains of the leak, against none and against the controls. Intervals are simultaneous over the prompts; a
    control has its own."""
    key = [name for name in ("model", "arm") if name in table] + ["mitigation"]
    first, second = (
        _compared(table[table["against"] == against], key, places) for against in (NONE, CONTROLS)
    )
    counts = table[table["against"] == NONE][[*key, "role", *COUNTS, "left_out"]]
    shown = (
        counts[[*key, "role"]]
        .merge(first, on=key)
        .merge(second, on=key, how="left", suffixes=("", ", against controls"))
    )
    counts = counts.drop(columns="role").rename(columns={**COUNTS, "n": "cells", "left_out": "left out"})
    return reports.stamped_table(shown.astype(object).fillna("–").merge(counts, on=key), stamped)


def _compared(table: pd.DataFrame, key: list[str], places: int) -> pd.DataFrame:
    """The comparisons with one baseline, formatted."""
    ratios = table[["ratio", "ratio_low", "ratio_high"]].set_axis(["estimate", "ci_low", "ci_high"], axis=1)
    return table[key].assign(
        **{
            "change [simultaneous interval]": [reports.interval(row, places) for row in table.itertuples()],
            "retained [simultaneous interval]": [
                reports.interval(row, 2, sign=False) for row in ratios.itertuples()
            ],
            "p (keeps)": table["p_keeps"].astype(float).round(4),
        }
    )


def by_wording(table: pd.DataFrame, stamped: str = "") -> pd.DataFrame:
    """A table of `mitigation.by_wording` as people read it: a row for each prompt and wording."""
    shown = table[["model", "mitigation", "wording", "baseline"]].round({"baseline": 2})
    shown["change [interval]"] = [reports.interval(row, 2) for row in table.itertuples()]
    counts = table[list(COUNTS)].rename(columns={**COUNTS, "n": "cells"})
    return reports.stamped_table(shown.join(counts), stamped)


def spread_reading(spread: pd.DataFrame) -> str:
    """One sentence for each prompt of a table of `mitigation.spread`."""
    if spread.empty:
        return "No prompt of this set was asked in several wordings."
    said = []
    for row in spread.itertuples():
        ends = " to ".join(f"{end + 0:+.2f}".replace("-", "−") for end in (row.least, row.greatest))
        beyond = "not known, as an error is missing" if np.isnan(row.deviation) else f"{row.deviation:.2f}"
        said.append(
            f"{row.mitigation} on {row.model} changes the shift by {ends} over its {row.wordings} "
            "wordings; standard "
            f"deviation between wordings beyond their errors: {beyond}."
        )
    return " ".join(said)


def effects_reading(table: pd.DataFrame) -> str:
    """One sentence for each prompt: what is retained of the leak against none and against the controls."""
    prompts = table[table["role"] == PROMPT]
    if prompts.empty:
        return "No model of this set was asked with a mitigation beside the controls."
    said = []
    for (model, name), part in prompts.groupby(["model", "mitigation"], sort=False):
        kept = [
            f"{_share(row)} against {'none' if row.against == NONE else 'the controls'}"
            for row in part.itertuples()
        ]
        said.append(f"{name} on {model} retains {' and '.join(kept)}.")
    return " ".join(said)


def _share(row) -> str:
    numbers = [row.ratio, row.ratio_low, row.ratio_high]
    return (
        f"{reports.interval(pd.Series(numbers, ['estimate', 'ci_low', 'ci_high']), 2, sign=False)} of "
        "the shift"
    )
