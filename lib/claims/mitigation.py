"""C3 of the claims board: what of the leak is left when a prompt asks the model not to leak, against none and
against controls.

A *cell* is a group and charged arm; its value under a mitigation is the mean over its draws, so that all
unmitigated draws are the baseline. Only cells that have a value under every mitigation of their model count,
so that every comparison is on the same cells and one covariance, clustered by stem and match
(`lib.analysis.clustered`), holds them all; the others are counted. A *control* is a sentence that asks
nothing about mood: it shows what any added sentence does, and is no member of the family of prompts. A prompt
in several wordings (`lib.config.mitigation_texts`) counts as the mean over them; `by_wording` describes each,
and decides nothing.
"""

from collections.abc import Iterator
from dataclasses import asdict

import numpy as np
import pandas as pd
from scipy import special
from statsmodels.stats.meta_analysis import combine_effects

from lib.analysis import clustered, leakage
from lib.analysis.clustered import DesignEstimate
from lib.claims import board, claims, rules
from lib.claims.board import INCONCLUSIVE, SUPPORTED
from lib.claims.rules import Retention, Verdict
from lib.config.specs import NO_MITIGATION, ParameterError
from lib.dataset import curated_prompts
from lib.stats import inference, simultaneous

CLAIM = claims.PRESPECIFIED["C3"]
PROMPT, CONTROL = "prompt", "control"
_CELL = ["stem_id", "group_id", "arm"]
NONE, CONTROLS = "none", "controls"  # what a prompt is compared with
COLUMNS = [
    "mitigation",
    "role",
    "against",
    "baseline",
    "estimate",
    "ci_low",
    "ci_high",
    "se",
    "df",
    "p",
    "ratio",
    "ratio_low",
    "ratio_high",
    "p_keeps",
    "kept",
    "n",
    "n_stems",
    "n_matches",
    "cluster_unit",
    "left_out",
]
_COUNTS = COLUMNS[-5:]
SEED = 20251118  # of the multivariate t distribution: no draw of a model depends on it


def effects(
    pairs: pd.DataFrame,
    controls: list[str],
    margin: float,
    confidence: float,
    by: tuple[str, ...] = ("model",),
    quantity: str = leakage.PRIMARY,
) -> pd.DataFrame:
    """What each mitigation changes, a row for each level of `by`, mitigation and baseline; columns: those of
    `by`, COLUMNS.

    `pairs` of `leakage.pairs`, unmitigated and mitigated. against: "none", or for a prompt "controls", the
    mean of `controls`.
    baseline: the mean of `quantity` there. estimate, low, high: the change, with intervals that are
    simultaneous over the prompts of a level (a control has its own); p adjusted likewise. ratio: what is
    retained, with Fieller's interval at the same critical value. p_keeps: one-sided, that more than 1 −
    `margin` is retained, for each prompt by itself; kept: the lower bound of that test, the greatest share
    that the same test finds retained (−∞ where there is none). n: cells; n_stems, n_matches, cluster_unit: as
    of `clustered.DesignEstimate`; left_out: cells without a value under every mitigation. A mitigation
    without any value has a row that is NaN.
    """
    rows = []
    for level, part in leakage.charged_pairs(pairs).groupby(list(by), sort=False):
        names = [name for name in part["mitigation"].unique() if name != NO_MITIGATION]
        cells = part.pivot_table(index=_CELL, columns="mitigation", values=quantity, aggfunc="mean")
        found = _compared(cells, names, controls, margin, confidence)
        rows += [dict(zip(by, level, strict=True)) | row for row in found]
    return pd.DataFrame(rows, columns=[*by, *COLUMNS])


def _compared(
    cells: pd.DataFrame, names: list[str], controls: list[str], margin: float, confidence: float
) -> list[dict]:
    """Rows of one level, from a table with a row a cell and a column a mitigation; columns without a value
    are not there."""
    role = {name: CONTROL if name in controls else PROMPT for name in names}
    asked = [name for name in names if name in cells] if NO_MITIGATION in cells else []
    whole = cells[[NO_MITIGATION, *asked]].dropna() if asked else cells.iloc[:0]
    if whole.empty:
        asked = []
    unit, clusters, sizes = clustered.clusters_of(
        curated_prompts.with_match(whole.reset_index()[["stem_id", "group_id"]])
    )
    counts = dict(zip(_COUNTS, (len(whole), *sizes, unit, len(cells) - len(whole)), strict=True))
    nothing = dict(zip(_COUNTS, (0, 0, 0, clustered.BY_STEM, len(cells)), strict=True))
    rows = [
        {"mitigation": name, "role": role[name], "against": NONE, **nothing}
        for name in names
        if name not in asked
    ]
    asking, counted = ([name for name in asked if role[name] == wanted] for wanted in (PROMPT, CONTROL))
    alone = [([name], NONE, [NO_MITIGATION]) for name in counted]
    for family, against, baseline in [(asking, NONE, [NO_MITIGATION]), (asking, CONTROLS, counted), *alone]:
        if family and baseline:
            found = simultaneous.means(whole.to_numpy(), *clusters)
            of_family = _family(found, list(whole), family, baseline, margin, confidence)
            rows += [
                {"role": role[row["mitigation"]], "against": against, **counts, **row} for row in of_family
            ]
    return sorted(rows, key=lambda row: (names.index(row["mitigation"]), row["against"] != NONE))


def _family(
    found: simultaneous.Means,
    columns: list[str],
    family: list[str],
    baseline: list[str],
    margin: float,
    confidence: float,
) -> Iterator[dict]:
    """Rows of the mitigations `family` against the mean of `baseline`."""
    own = np.array([[float(column == name) for column in columns] for name in family])
    other = np.array([(column in baseline) / len(baseline) for column in columns])
    change, kept = found.contrasts(own - other), found.contrasts(own - (1 - margin) * other)
    maxima = simultaneous.greatest(change, np.random.default_rng(SEED))
    low, high, p = simultaneous.intervals(change, maxima, confidence)
    critical = np.quantile(maxima, confidence)
    if np.isnan(critical):  # no prompt changes anything: Student's
        critical = special.stdtrit(found.df, (1 + confidence) / 2)
    p_keeps = simultaneous.above_zero_p(kept)
    for place, name in enumerate(family):
        both = found.contrasts(np.array([own[place], other]))
        ratio_low, ratio_high = simultaneous.fieller(both, critical)
        # as `above_zero_p` tests
        kept_low, _ = simultaneous.fieller(both, special.stdtrit(found.df, confidence))
        yield {
            "mitigation": name,
            "baseline": both.estimates[1],
            "estimate": change.estimates[place],
            "ci_low": low[place],
            "ci_high": high[place],
            "se": change.errors[place],
            "df": found.df,
            "p": p[place],
            "ratio": both.estimates[0] / both.estimates[1] if both.estimates[1] else np.nan,
            "ratio_low": ratio_low,
            "ratio_high": ratio_high,
            "p_keeps": p_keeps[place],
            "kept": kept_low,
        }


def by_wording(
    pairs: pd.DataFrame, controls: list[str], confidence: float, quantity: str = leakage.PRIMARY
) -> pd.DataFrame:
    """What each wording of a prompt that has several changes against none, in the groups asked in it: a row
    for each model, mitigation and wording, with baseline (the mean there without it) and the fields of
    `clustered.DesignEstimate`.

    Intervals are each wording's own, corrected for nothing. Cells count that have a value with the wording
    and without.
    """
    if "wording" not in pairs:
        raise ParameterError(
            "judgements have no column wording, as they were made before prompts had several; run notebooks "
            "02 "
            "and 03 again, which asks no model for what is at hand"
        )
    charged = leakage.charged_pairs(pairs)
    means = (
        charged.groupby(["model", *_CELL, "mitigation", "wording"], sort=False)[quantity].mean().reset_index()
    )
    bare = means[means["mitigation"] == NO_MITIGATION].rename(columns={quantity: "bare"})
    asked = means[~means["mitigation"].isin([NO_MITIGATION, *controls])]
    both = asked.merge(bare[["model", *_CELL, "bare"]], on=["model", *_CELL]).dropna(
        subset=[quantity, "bare"]
    )
    both = both.assign(change=both[quantity] - both["bare"]).sort_values("wording", kind="stable")
    rows = []
    for (model, name), part in both.groupby(["model", "mitigation"], sort=False):
        for wording, cells in part.groupby("wording") if part["wording"].nunique() > 1 else ():
            named = {"model": model, "mitigation": name, "wording": wording, "baseline": cells["bare"].mean()}
            rows.append(named | asdict(clustered.design_mean(cells, "change", confidence)))
    columns = ["model", "mitigation", "wording", "baseline", *DesignEstimate.__dataclass_fields__]
    return pd.DataFrame(rows, columns=columns)


def spread(wordings: pd.DataFrame) -> pd.DataFrame:
    """How far the wordings of a prompt lie apart, from a table of `by_wording`: model, mitigation, wordings
    (how many), least and greatest (of the changes), deviation: the standard deviation between wordings beyond
    what their errors explain (Paule & Mandel 1982), 0 where these explain all, NaN where an error is not
    known."""
    rows = []
    for (model, name), part in wordings.groupby(["model", "mitigation"], sort=False):
        estimates, errors = part[["estimate", "se"]].to_numpy().T
        known = (errors > 0).all()
        found = combine_effects(estimates, errors**2, method_re="iterated") if known else None
        deviation = np.sqrt(max(found.tau2, 0.0)) if known else np.nan
        rows.append((model, name, len(part), estimates.min(), estimates.max(), deviation))
    return pd.DataFrame(rows, columns=["model", "mitigation", "wordings", "least", "greatest", "deviation"])


def claim(
    table: pd.DataFrame,
    model_names: list[str],
    margin: float,
    confidence: float,
    faults: dict[str, str],
    leaking: dict[str, bool],
    net: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """C3, a row for each model and prompt of a table of `effects` by model; `leaking`: `claims.leaks` of
    unmitigated pairs.

    The row shows the change against none as a share of the leak, with the interval that is simultaneous over
    the prompts. p is the greater of those against none and against the controls, of the test that the verdict
    names; p_holm has it corrected over models. `net`: the same table of the net excess.
    """
    asked = _corrected(table[table["role"] == PROMPT], leaking)
    changes = (
        {}
        if net is None
        else {(row.model, row.mitigation): _change(row) for row in net[net["against"] == NONE].itertuples()}
    )
    rows = []
    for model in model_names:
        part, fault = asked[asked["model"] == model], faults[model]
        if part.empty:
            unasked = Verdict(INCONCLUSIVE, "not asked with a mitigation beside the controls")
            rows.append(board.row(CLAIM, model, "change of the leak", None, unasked, margin, confidence))
        for name, of_prompt in part.groupby("mitigation", sort=False):
            named, beside = (CLAIM, model, f"{name}: change of the leak"), changes.get((model, name))
            found, verdict, other = _decided(of_prompt, leaking.get(model, False), margin, confidence)
            rows.append(board.row(*named, found, verdict, margin, confidence, fault, beside, **other))
    return board.table(rows)


def _corrected(rows: pd.DataFrame, leaking: dict[str, bool]) -> pd.DataFrame:
    """With p_lowers and p_keeps of a prompt, the greater of both comparisons, and the same Holm-corrected
    over models that leak.

    A model's own p is the least of its prompts' adjusted p (some prompt lowers), and every prompt is
    corrected as that is; or the greatest of their p_keeps (all keep), whose place each prompt takes in turn,
    for what corrects that may be cut at 1.
    """
    tested = rows.rename(columns={"p": "p_lowers"}).groupby(["model", "mitigation"], sort=False)[
        ["p_lowers", "p_keeps"]
    ]
    tested = tested.agg(lambda p: p.max(skipna=False)).astype(float)
    models = tested.index.get_level_values("model")
    leaky = np.array([leaking.get(model, False) for model in models], bool)
    of_models = tested[leaky].groupby("model", sort=False)
    some, every = of_models["p_lowers"].min(), of_models["p_keeps"].max()
    factor = dict(zip(some.index, inference.holm(some) / some.clip(lower=1e-300), strict=True))
    tested["p_lowers_holm"] = np.minimum(
        1.0, tested["p_lowers"] * [factor.get(model, np.nan) for model in models]
    )
    tested["p_keeps_holm"] = [
        _in_place_of(model, p, every) for model, p in zip(models, tested["p_keeps"], strict=True)
    ]
    return rows.drop(columns="p_keeps").merge(tested.reset_index(), on=["model", "mitigation"], how="left")


def _in_place_of(model: str, p: float, of_models: pd.Series) -> float:
    """`p` in the place of its model's among those of all models, Holm-corrected; NaN of a model that is not
    among them."""
    if model not in of_models:
        return np.nan
    return inference.holm(of_models.where(of_models.index != model, p))[of_models.index.get_loc(model)]


def _decided(
    part: pd.DataFrame, leaks: bool, margin: float, confidence: float
) -> tuple[DesignEstimate | None, Verdict, dict]:
    """The estimate, verdict and p of a prompt, from its rows against none and against the controls."""
    first = part.iloc[0]
    if np.isnan(first["estimate"]):
        return None, Verdict(INCONCLUSIVE, "no pair of completions can be judged"), {}
    against = {
        row.against: Retention(row.ratio_high, row.p_lowers_holm, row.p_keeps_holm, row.kept)
        for row in part.itertuples()
    }
    verdict = rules.retention(against, leaks, margin, confidence)
    tested = "p_keeps" if verdict.verdict == SUPPORTED else "p_lowers"
    leak = first["baseline"] if leaks else np.nan  # without one, no share of it can be detected
    found = DesignEstimate(
        *(first[name] - 1 for name in ("ratio", "ratio_low", "ratio_high")),
        int(first["n"]),
        int(first["n_stems"]),
        first["se"] / leak,
        np.nan,
        first[tested],
        first["df"],
        **_clusters(first),
    )
    return found, verdict, {"p_holm": first[f"{tested}_holm"]}


def _change(row) -> DesignEstimate:
    numbers = row.estimate, row.ci_low, row.ci_high, row.n, row.n_stems, row.se, np.nan, row.p, row.df
    return DesignEstimate(*numbers, **_clusters(row))


def _clusters(row) -> dict:
    return {"n_matches": int(row.n_matches), "cluster_unit": row.cluster_unit}
