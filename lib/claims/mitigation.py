"""C3 of the claims board: the share of the leak that is left when a prompt asks the model not to leak.

A prompt is compared with no prompt and with the mean of its controls. A *control* is a text that asks nothing
about mood. It shows the effect of any added text, and it does not belong to the family of prompts. A prompt's
controls are those of its form: they stand where it does (before the prompt, within it, or as a system
message) and, of these, they are the three nearest to it in length (`mitigation_texts.controls_of`). Where a
set has at most three controls, all in one place, they are the controls of every prompt. Only the texts of the
set decide this. A control without a value for a model is left out; the column `controls` names those that
count.

A *cell* is a group and a charged arm. Its value under a mitigation is the mean over its draws, so all
unmitigated draws form the baseline. Only cells with a value under every mitigation of their model count; the
others are counted as left out. So every comparison is on the same cells, and one covariance, clustered by
stem and match (`lib.analysis.clustered`), holds them all. A prompt in several wordings
(`lib.config.mitigation_texts`) counts as the mean over them. `by_wording` describes each wording, and decides
nothing.
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
    "controls",
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
SEED = 20251118  # of the multivariate t distribution; it does not affect a model's draws


def effects(
    pairs: pd.DataFrame,
    controls: dict[str, list[str]],
    margin: float,
    confidence: float,
    by: tuple[str, ...] = ("model",),
    quantity: str = leakage.PRIMARY,
) -> pd.DataFrame:
    """Estimate the change under each mitigation, against no mitigation and against the controls.

    Intervals are simultaneous over the prompts of a level; a control has an interval of its own. A mitigation
    without any value has a row of NaN.

    Args:
        pairs: Pairs of `leakage.pairs`, unmitigated and mitigated.
        controls: For each prompt, the controls that it is compared with (`mitigation_texts.controls_of`). All
            other mitigations are controls.
        margin: The margin of C3, a share of the leak.
        confidence: Level of the intervals, between 0 and 1.
        by: The columns whose combinations are the levels.
        quantity: One of `leakage.QUANTITIES`.

    Returns:
        One row per level, mitigation and baseline, with the columns `by` and COLUMNS:

        - role: "prompt" or "control".
        - against: "none", or for a prompt also "controls", the mean of its controls.
        - controls: the names of these, joined by ", "; empty against none.
        - baseline: the mean of `quantity` under what the mitigation is compared with.
        - estimate, ci_low, ci_high, se, df, p: the change, its simultaneous interval, and p adjusted
          likewise.
        - ratio, ratio_low, ratio_high: the share retained, with Fieller's interval at the same critical
          value.
        - p_keeps: the one-sided p that more than 1 − `margin` is retained, for each prompt alone.
        - kept: the lower bound of that test, the largest share that it finds retained (−∞ where there is
          none).
        - n, left_out: the cells, and the cells without a value under every mitigation.
        - n_stems, n_matches, cluster_unit: as in `clustered.DesignEstimate`.
    """
    rows = []
    for level, subset in leakage.charged_pairs(pairs).groupby(list(by), sort=False):
        names = [name for name in subset["mitigation"].unique() if name != NO_MITIGATION]
        cells = subset.pivot_table(index=_CELL, columns="mitigation", values=quantity, aggfunc="mean")
        level_rows = _compared(cells, names, controls, margin, confidence)
        rows += [dict(zip(by, level, strict=True)) | row for row in level_rows]
    return pd.DataFrame(rows, columns=[*by, *COLUMNS])


def _compared(
    cells: pd.DataFrame, names: list[str], controls: dict[str, list[str]], margin: float, confidence: float
) -> list[dict]:
    """Return rows of one level; `cells` has a row per cell and a column per mitigation with a value."""
    role = {name: PROMPT if name in controls else CONTROL for name in names}
    estimable = [name for name in names if name in cells] if NO_MITIGATION in cells else []
    complete = cells[[NO_MITIGATION, *estimable]].dropna() if estimable else cells.iloc[:0]
    if complete.empty:
        estimable = []
    unit, clusters, sizes = clustered.clusters_of(
        curated_prompts.with_match(complete.reset_index()[["stem_id", "group_id"]])
    )
    counts = dict(zip(_COUNTS, (len(complete), *sizes, unit, len(cells) - len(complete)), strict=True))
    no_counts = dict(zip(_COUNTS, (0, 0, 0, clustered.BY_STEM, len(cells)), strict=True))
    rows = [
        {"mitigation": name, "role": role[name], "against": NONE, "controls": "", **no_counts}
        for name in names
        if name not in estimable
    ]
    for against, baselines in _families(estimable, controls):
        if not baselines:
            continue
        means = simultaneous.means(complete.to_numpy(), *clusters)
        for row in _family(means, list(complete), baselines, margin, confidence):
            name = row["mitigation"]
            compared = ", ".join(baselines[name]) if against == CONTROLS else ""
            rows.append({"role": role[name], "against": against, "controls": compared, **counts, **row})
    return sorted(rows, key=lambda row: (names.index(row["mitigation"]), row["against"] != NONE))


def _families(
    estimable: list[str], controls: dict[str, list[str]]
) -> Iterator[tuple[str, dict[str, list[str]]]]:
    """Yield what is compared at once: against what, and for each mitigation the names of its baseline."""
    bare = [NO_MITIGATION]
    prompts = [name for name in estimable if name in controls]
    of_form = {name: [control for control in controls[name] if control in estimable] for name in prompts}
    yield NONE, dict.fromkeys(prompts, bare)
    yield CONTROLS, {name: baseline for name, baseline in of_form.items() if baseline}
    yield from ((NONE, {name: bare}) for name in estimable if name not in controls)


def _family(
    means: simultaneous.Means,
    columns: list[str],
    baselines: dict[str, list[str]],
    margin: float,
    confidence: float,
) -> Iterator[dict]:
    """Yield the rows of a family: each mitigation of `baselines` against the mean of its baseline."""
    target = np.array([[float(column == name) for column in columns] for name in baselines])
    reference = np.array(
        [[(column in names) / len(names) for column in columns] for names in baselines.values()]
    )
    change, retained = means.contrasts(target - reference), means.contrasts(target - (1 - margin) * reference)
    maxima = simultaneous.greatest(change, np.random.default_rng(SEED))
    ci_low, ci_high, p = simultaneous.intervals(change, maxima, confidence)
    critical = np.quantile(maxima, confidence)
    if np.isnan(critical):  # no prompt changes anything: Student's t
        critical = special.stdtrit(means.df, (1 + confidence) / 2)
    p_keeps = simultaneous.above_zero_p(retained)
    for index, name in enumerate(baselines):
        both = means.contrasts(np.array([target[index], reference[index]]))
        ratio_low, ratio_high = simultaneous.fieller(both, critical)
        # the bound of the test in `above_zero_p`
        kept_low, _ = simultaneous.fieller(both, special.stdtrit(means.df, confidence))
        yield {
            "mitigation": name,
            "baseline": both.estimates[1],
            "estimate": change.estimates[index],
            "ci_low": ci_low[index],
            "ci_high": ci_high[index],
            "se": change.errors[index],
            "df": means.df,
            "p": p[index],
            "ratio": both.estimates[0] / both.estimates[1] if both.estimates[1] else np.nan,
            "ratio_low": ratio_low,
            "ratio_high": ratio_high,
            "p_keeps": p_keeps[index],
            "kept": kept_low,
        }


def by_wording(
    pairs: pd.DataFrame, controls: list[str], confidence: float, quantity: str = leakage.PRIMARY
) -> pd.DataFrame:
    """Estimate the change under each wording of a prompt that has several, against no mitigation.

    The interval of each wording is its own, without any correction. Only cells count that have a value both
    with the wording and without a mitigation.

    Args:
        pairs: Pairs of `leakage.pairs`, unmitigated and mitigated, with a column wording.
        controls: The mitigations that are controls.
        confidence: Level of the intervals, between 0 and 1.
        quantity: One of `leakage.QUANTITIES`.

    Returns:
        One row per model, mitigation and wording: baseline (the mean without a mitigation in the groups asked
        in this wording) and the fields of `clustered.DesignEstimate`.

    Raises:
        ParameterError: If `pairs` has no column wording.
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
    prompted = means[~means["mitigation"].isin([NO_MITIGATION, *controls])]
    both = prompted.merge(bare[["model", *_CELL, "bare"]], on=["model", *_CELL]).dropna(
        subset=[quantity, "bare"]
    )
    both = both.assign(change=both[quantity] - both["bare"]).sort_values("wording", kind="stable")
    rows = []
    for (model, name), subset in both.groupby(["model", "mitigation"], sort=False):
        for wording, cells in subset.groupby("wording") if subset["wording"].nunique() > 1 else ():
            keys = {"model": model, "mitigation": name, "wording": wording, "baseline": cells["bare"].mean()}
            rows.append(keys | asdict(clustered.design_mean(cells, "change", confidence)))
    columns = ["model", "mitigation", "wording", "baseline", *DesignEstimate.__dataclass_fields__]
    return pd.DataFrame(rows, columns=columns)


def spread(wordings: pd.DataFrame) -> pd.DataFrame:
    """Return how far the wordings of a prompt lie apart, from a table of `by_wording`.

    Returns:
        One row per model and mitigation: wordings (how many), least and greatest (of the changes), deviation.
        The deviation is the standard deviation between wordings beyond what their errors explain (Paule &
        Mandel 1982): 0 where the errors explain all of it, NaN where an error is not known.
    """
    rows = []
    for (model, name), subset in wordings.groupby(["model", "mitigation"], sort=False):
        estimates, se = subset[["estimate", "se"]].to_numpy().T
        deviation = np.nan
        if (se > 0).all():
            deviation = np.sqrt(max(combine_effects(estimates, se**2, method_re="iterated").tau2, 0.0))
        rows.append((model, name, len(subset), estimates.min(), estimates.max(), deviation))
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
    """Test C3 for each model and prompt.

    A row shows the change against no mitigation as a share of the leak, with the interval that is
    simultaneous over the prompts. p is the larger of the values against none and against the controls, for
    the test that the verdict names; p_holm is corrected over models.

    Args:
        table: A table of `effects` by model.
        model_names: The models of the run.
        margin: The margin of the claim, a share of the leak.
        confidence: Level of the intervals, between 0 and 1.
        faults: What is wrong with each model's completions (`usability.faults`).
        leaking: The result of `claims.leaks` for unmitigated pairs.
        net: The same table as `table` for the net excess, or None.

    Returns:
        The rows of the board, one per model and prompt; one inconclusive row for a model without a prompt.
    """
    prompts = _corrected(table[table["role"] == PROMPT], leaking)
    changes = (
        {}
        if net is None
        else {(row.model, row.mitigation): _change(row) for row in net[net["against"] == NONE].itertuples()}
    )
    rows = []
    for model in model_names:
        subset, fault = prompts[prompts["model"] == model], faults[model]
        if subset.empty:
            no_verdict = Verdict(INCONCLUSIVE, "not asked with a mitigation beside the controls")
            rows.append(board.row(CLAIM, model, "change of the leak", None, no_verdict, margin, confidence))
        for name, of_prompt in subset.groupby("mitigation", sort=False):
            estimate, verdict, other = _decided(of_prompt, leaking.get(model, False), margin, confidence)
            rows.append(
                board.row(
                    claim=CLAIM,
                    model=model,
                    measured=f"{name}: change of the leak",
                    estimate=estimate,
                    verdict=verdict,
                    margin=margin,
                    confidence=confidence,
                    fault=fault,
                    net=changes.get((model, name)),
                    **other,
                )
            )
    return board.table(rows)


def _corrected(rows: pd.DataFrame, leaking: dict[str, bool]) -> pd.DataFrame:
    """Add p_lowers and p_keeps of a prompt over both comparisons, also Holm-corrected over models that leak.

    p_lowers and p_keeps are the larger values of both comparisons. A model's own p that some prompt lowers
    the leak is the smallest of its prompts' adjusted p, and every prompt is corrected by the same factor. A
    model's own p that all prompts keep the leak is the largest of their p_keeps. Here each prompt takes the
    place of the largest in turn, because the corrected p of the largest may be cut at 1 and then gives no
    factor.
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
    """Return `p` Holm-corrected in place of its model's p; NaN for a model that is not in `of_models`."""
    if model not in of_models:
        return np.nan
    return inference.holm(of_models.where(of_models.index != model, p))[of_models.index.get_loc(model)]


def _decided(
    part: pd.DataFrame, leaks: bool, margin: float, confidence: float
) -> tuple[DesignEstimate | None, Verdict, dict]:
    """Return the estimate, verdict and p of a prompt from its rows against none and the controls."""
    first = part.iloc[0]
    if np.isnan(first["estimate"]):
        return None, Verdict(INCONCLUSIVE, "no pair of completions can be judged"), {}
    against = {
        row.against: Retention(row.ratio_high, row.p_lowers_holm, row.p_keeps_holm, row.kept)
        for row in part.itertuples()
    }
    verdict = rules.retention(against, leaks, margin, confidence)
    tested = "p_keeps" if verdict.verdict == SUPPORTED else "p_lowers"
    leak = first["baseline"] if leaks else np.nan  # without a leak, no share of it can be detected
    estimate = DesignEstimate(
        estimate=first["ratio"] - 1,
        ci_low=first["ratio_low"] - 1,
        ci_high=first["ratio_high"] - 1,
        n=int(first["n"]),
        n_stems=int(first["n_stems"]),
        se=first["se"] / leak,
        naive_se_ratio=np.nan,
        p=first[tested],
        df=first["df"],
        **_clusters(first),
    )
    return estimate, verdict, {"p_holm": first[f"{tested}_holm"]}


def _change(row) -> DesignEstimate:
    return DesignEstimate(
        estimate=row.estimate,
        ci_low=row.ci_low,
        ci_high=row.ci_high,
        n=row.n,
        n_stems=row.n_stems,
        se=row.se,
        naive_se_ratio=np.nan,
        p=row.p,
        df=row.df,
        **_clusters(row),
    )


def _clusters(row) -> dict:
    return {"n_matches": int(row.n_matches), "cluster_unit": row.cluster_unit}
