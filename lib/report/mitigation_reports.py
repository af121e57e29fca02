"""Formatted tables and sentences on mitigation (`lib.claims.mitigation`), for notebook 06."""

import numpy as np
import pandas as pd

from lib.claims.mitigation import CONTROL, CONTROLS, NONE, PROMPT
from lib.config import mitigation_texts
from lib.report import reports
from lib.report.reports import COUNTS


def texts(mitigations: dict[str, str | list[str]], controls: list[str]) -> pd.DataFrame:
    """List the mitigation prompts in all their wordings.

    Returns:
        Columns mitigation, wording (a number from 1), text, role, which marks the controls, and compared
        with, which says too where a prompt's controls stand elsewhere because none stands where it does.
    """
    of_form = mitigation_texts.controls_of(mitigations, controls)
    rows = []
    for name, value in mitigations.items():
        role = CONTROL if name in controls else "asks for less leakage"
        baselines = [NONE, *of_form.get(name, [])]
        if not all(mitigation_texts.stand_alike(value, mitigations[other]) for other in baselines[1:]):
            baselines[-1] += " (none stands where it does)"
        for wording, text in enumerate(mitigation_texts.texts(value), start=1):
            rows.append((name, wording, text, role, ", ".join(baselines)))
    return pd.DataFrame(rows, columns=["mitigation", "wording", "text", "role", "compared with"])


def side_by_side(judgements: pd.DataFrame, seed: int, count: int = 5) -> pd.DataFrame:
    """Sample `count` charged prompts of a model, with the completion under each mitigation.

    Returns:
        One row per prompt and draw: model, context, stem, sample_index, and a column for each mitigation. The
        completions of a row have the same noise.
    """
    charged = judgements[judgements["arm"].isin(["negative", "positive"])]
    wide = charged.pivot(
        index=["model", "context", "stem", "sample_index"], columns="mitigation", values="completion"
    ).dropna()
    names = charged["mitigation"].unique()
    return (
        wide.sample(min(count, len(wide)), random_state=seed)[names].rename_axis(columns=None).reset_index()
    )


def effects(table: pd.DataFrame, banner: str = "", places: int = 2) -> pd.DataFrame:
    """Format a table of `mitigation.effects`: a row for each mitigation.

    A row holds its change and what it retains of the leak, against none and against the controls. Intervals
    are simultaneous over the prompts; a control has its own. Where not all prompts are compared with the same
    controls, the column `controls` names them.
    """
    key = [name for name in ("model", "arm") if name in table] + ["mitigation"]
    against_none, against_controls = (
        _compared(table[table["against"] == against], key, places) for against in (NONE, CONTROLS)
    )
    controls = table.loc[table["against"] == CONTROLS, "controls"]
    if controls.nunique() > 1:
        against_controls = against_controls.assign(controls=controls)
    counts = table[table["against"] == NONE][[*key, "role", *COUNTS, "left_out"]]
    shown = (
        counts[[*key, "role"]]
        .merge(against_none, on=key)
        .merge(against_controls, on=key, how="left", suffixes=("", ", against controls"))
    )
    counts = counts.drop(columns="role").rename(columns={**COUNTS, "n": "cells", "left_out": "left out"})
    return reports.with_banner(shown.astype(object).fillna("–").merge(counts, on=key), banner)


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


def by_wording(table: pd.DataFrame, banner: str = "") -> pd.DataFrame:
    """Format a table of `mitigation.by_wording`: a row for each prompt and wording."""
    shown = table[["model", "mitigation", "wording", "baseline"]].round({"baseline": 2})
    shown["change [interval]"] = [reports.interval(row, 2) for row in table.itertuples()]
    counts = table[list(COUNTS)].rename(columns={**COUNTS, "n": "cells"})
    return reports.with_banner(shown.join(counts), banner)


def spread_summary(spread: pd.DataFrame) -> str:
    """Describe each prompt of a table of `mitigation.spread`, one sentence each."""
    if spread.empty:
        return "No prompt of this set was asked in several wordings."
    sentences = []
    for row in spread.itertuples():
        ends = " to ".join(f"{end + 0:+.2f}".replace("-", "−") for end in (row.least, row.greatest))
        deviation = "not known, as an error is missing" if np.isnan(row.deviation) else f"{row.deviation:.2f}"
        sentences.append(
            f"{row.mitigation} on {row.model} changes the shift by {ends} over its {row.wordings} "
            "wordings; standard "
            f"deviation between wordings beyond their errors: {deviation}."
        )
    return " ".join(sentences)


def effects_summary(table: pd.DataFrame) -> str:
    """Say what each prompt retains of the leak, against none and against the controls."""
    prompts = table[table["role"] == PROMPT]
    if prompts.empty:
        return "No model of this set was asked with a mitigation beside the controls."
    sentences = []
    for (model, name), rows in prompts.groupby(["model", "mitigation"], sort=False):
        retained = [
            f"{_share(row)} against {'none' if row.against == NONE else 'the controls'}"
            for row in rows.itertuples()
        ]
        sentences.append(f"{name} on {model} retains {' and '.join(retained)}.")
    return " ".join(sentences)


def _share(row) -> str:
    numbers = [row.ratio, row.ratio_low, row.ratio_high]
    return (
        f"{reports.interval(pd.Series(numbers, ['estimate', 'ci_low', 'ci_high']), 2, sign=False)} of "
        "the shift"
    )
