"""The leakage quantities by human judgement, from a few human labels and a judge's verdict on every pair.

This is the difference estimator of survey sampling, known as prediction-powered inference (Angelopoulos et
al., Science 2023; with the weight λ, PPI++, arXiv 2311.01453). The judge's mean over all pairs is corrected
by the difference between people and judge on the pairs drawn. The estimate is valid whatever the quality of
the judge; a good judge makes the interval narrow.
"""

from dataclasses import asdict, fields

import numpy as np
import pandas as pd
from scipy import stats

from lib.analysis import leakage
from lib.annotation import sampling_plan
from lib.annotation.sampling_plan import COMPLETION, PAIR, STRATUM
from lib.nlp.vader import SCALE
from lib.runtime.errors import DataError
from lib.stats import inference

POLARITY = {"negative": -1.0, "none": 0.0, "positive": 1.0}  # unclear is missing
SOURCES = ("people and judge", "people alone", "judge alone")
_ESTIMATED = ["source", *(field.name for field in fields(inference.Estimate)), "weight", "labelled"]


def valences(labels: pd.DataFrame) -> pd.DataFrame:
    """Return complete labels with the columns polarity (−1, 0, +1) and valence.

    Both are missing where the annotator cannot tell. valence is polarity × strength × 4/3. This stretches the
    three steps of the annotators to the scale of the judges; it is a choice of this project.
    """
    table = labels[labels["complete"]].copy()
    table["polarity"] = table["charge"].map(POLARITY).astype(float)
    strength = table["intensity"].astype("Float64").astype(float).fillna(0)
    table["valence"] = table["polarity"] * strength * SCALE / 3
    return table


def labelled_completions(
    key: pd.DataFrame, labels: pd.DataFrame, uncalled_only: bool = False
) -> pd.DataFrame:
    """Return judgements by people.

    Args:
        key: The annotation key.
        labels: The labels of the annotators.
        uncalled_only: Whether charge that the beginning of the sentence calls for counts as none.

    Returns:
        One row per completion drawn and annotator who labelled it, with valence and charged.
    """
    labelled = valences(labels)
    if uncalled_only:
        called_for = labelled["called_for"].eq("yes").fillna(False).to_numpy(dtype=bool)
        labelled = labelled.assign(
            valence=labelled["valence"].mask(called_for, 0.0),
            polarity=labelled["polarity"].mask(called_for, 0.0),
        )
    table = sampling_plan.completions(key).merge(labelled, on="item_id")
    return table.assign(charged=table["polarity"].ne(0).astype("boolean").mask(table["polarity"].isna()))


def human_pairs(key: pd.DataFrame, labels: pd.DataFrame, uncalled_only: bool = False) -> pd.DataFrame:
    """Compute the QUANTITIES of `leakage.pairs`, matched, from labels by people on the pairs drawn.

    Each is the mean over the annotators who labelled both completions.

    Args:
        key: The annotation key.
        labels: The labels of the annotators.
        uncalled_only: As in `labelled_completions`.

    Returns:
        The columns PAIR, direction and QUANTITIES. Pairs without an annotator who labelled both completions
        have no row.
    """
    table = labelled_completions(key, labels, uncalled_only)
    if table.empty:
        return pd.DataFrame(columns=[*PAIR, "direction", *leakage.QUANTITIES])
    pairs = key[PAIR].assign(partner=sampling_plan.partners(key))
    # pairs are formed for each annotator separately
    one_each = table.assign(mitigation="by " + table["annotator"].astype(str))
    one_each = one_each.merge(pairs, on=PAIR, how="left", validate="many_to_one")
    all_pairs = leakage.pairs(one_each, matched=True).dropna(subset=list(leakage.QUANTITIES))
    sampled = all_pairs.merge(key.loc[key["sampled"], PAIR], on=PAIR)
    return sampled.groupby([*PAIR, "direction"], as_index=False)[list(leakage.QUANTITIES)].mean()


def joined(
    judgements: pd.DataFrame, key: pd.DataFrame, labels: pd.DataFrame, uncalled_only: bool = False
) -> pd.DataFrame:
    """Return the values by the judge and by people of every pair of the plan and direction.

    Both are of single draws (`leakage.pairs`, matched), because people label single pairs. So the judge's
    leak rate is not that of all references.

    Args:
        judgements: The judgements of the run.
        key: The annotation key.
        labels: The labels of the annotators.
        uncalled_only: As in `labelled_completions`.

    Returns:
        A long table: PAIR, kind, stem_id, slot, direction, quantity, judged, human. human is missing where
        the pair is not labelled.

    Raises:
        ValueError: If `judgements` no longer hold the completions that were drawn.
    """
    _check_texts(judgements, key)
    pairs = leakage.pairs(leakage.unmitigated(judgements), matched=True)
    known = [*PAIR, "direction", "slot"]
    quantities = list(leakage.QUANTITIES)
    judged = pairs.melt(known, quantities, "quantity", "judged").merge(
        key[[*PAIR, "kind", "stem_id"]], on=PAIR
    )
    human = human_pairs(key, labels, uncalled_only).melt(
        [*PAIR, "direction"], quantities, "quantity", "human"
    )
    return judged.merge(
        human.astype({"human": float}), on=[*PAIR, "direction", "quantity"], how="left", validate="one_to_one"
    )


def _check_texts(judgements: pd.DataFrame, key: pd.DataFrame) -> None:
    current = leakage.unmitigated(judgements)[[*COMPLETION, "completion"]]
    merged = key[[*PAIR, "completion"]].merge(current, on=PAIR, how="left", suffixes=("", "_now"))
    changed = merged[merged["completion"] != merged["completion_now"]]
    if len(changed):
        first = changed.iloc[0]
        raise DataError(
            f"annotation_key.parquet: {len(changed):,} of {len(merged):,} completions are not those that "
            "were drawn "
            f"(first: {first.model}, {first.group_id}, {first.arm}, {first.sample_index}); restore the run "
            "that was "
            "labelled, or move annotation/ and annotation_key.parquet away to draw anew"
        )


def _stratified(size, labelled, human, judged_labelled, judged) -> tuple[np.ndarray, np.ndarray]:
    """Return stratified means a, of people, and b, of the judge over all pairs minus over the labelled ones.

    They come from the sums of each stratum (last axis). a + λ b estimates the human mean for any λ. A stratum
    without pairs counts for nothing.
    """
    share = size / size.sum(axis=-1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        a, b = human / labelled, judged / size - judged_labelled / labelled
    return tuple((share * np.where(size == 0, 0, means)).sum(axis=-1) for means in (a, b))


def _sums(table: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return sums over the pairs of each stem (row) and stratum (column).

    They are: size (the number of pairs), labelled (the number of labelled pairs), human (the sum of the human
    values), judged_labelled (the sum of the judge's values over the labelled pairs) and judged (the sum over
    all pairs).
    """
    human, judged = table["human"].to_numpy(float), table["judged"].to_numpy(float)
    stem, stratum = pd.factorize(table["stem_id"])[0], pd.factorize(table["stratum"])[0]
    cell, shape = stem * (stratum.max() + 1) + stratum, (stem.max() + 1, stratum.max() + 1)
    known = ~np.isnan(human)
    columns = {
        "size": np.ones(len(table)),
        "labelled": known,
        "human": np.where(known, human, 0),
        "judged_labelled": np.where(known, judged, 0),
        "judged": judged,
    }
    return {
        name: np.bincount(cell, column, shape[0] * shape[1]).reshape(shape)
        for name, column in columns.items()
    }


def combine(table: pd.DataFrame, confidence: float, alone: bool = False) -> tuple[inference.Estimate, float]:
    """Estimate the human mean by the difference estimator.

    The standard error is that of the jackknife that leaves out one stem at a time. λ, the judge's weight,
    makes it smallest. Each stem's part in the error is taken at the λ of the other stems, because otherwise a
    λ fitted to few stems would make the error too small. The interval is Student's t with stems − 1 degrees
    of freedom.

    Args:
        table: Columns judged (nowhere missing), human (missing where not labelled), stratum and stem_id.
        confidence: Level of the interval, between 0 and 1.
        alone: Whether the judge is left out (λ = 0).

    Returns:
        The estimate, and λ, between 0 and 1. Both are NaN with fewer than 3 stems, or where some stratum has
        no labels, or those of one stem only: its value without that stem is then unknown. There is no
        interval where all labels say the same while others are missing: a value that was not seen to vary is
        not therefore certain.
    """
    sums = _sums(table)
    stems, n = len(sums["size"]), len(table)
    totals = {name: by_stem.sum(axis=0) for name, by_stem in sums.items()}
    without = {name: totals[name] - by_stem for name, by_stem in sums.items()}
    (a, b), (a_without, b_without) = _stratified(**totals), _stratified(**without)
    if stems < 3 or np.isnan(a_without).any():
        return inference.Estimate(np.nan, np.nan, np.nan, n, stems, np.nan, np.nan, np.nan), np.nan
    off_a, off_b = (stems - 1) * (a_without.mean() - a_without), (stems - 1) * (b_without.mean() - b_without)
    weight = 0.0 if alone else float(_weight(off_a @ off_b, off_b @ off_b))
    # what the sums of squares lose with a stem, its share in the means included
    left_out = stems / (stems - 1)
    of_others = _weight(off_a @ off_b - left_out * off_a * off_b, off_b @ off_b - left_out * off_b**2)
    se = (off_a + (0.0 if alone else of_others) * off_b).std(ddof=1) / np.sqrt(stems)
    estimate = float(a + weight * b)
    if se < 1e-9 and table["human"].isna().any():
        return inference.Estimate(estimate, np.nan, np.nan, n, stems, np.nan, np.nan, np.nan), weight
    half_width = stats.t.ppf((1 + confidence) / 2, stems - 1) * se
    p = 2 * stats.t.sf(abs(estimate) / se, stems - 1) if se > 0 else float(estimate == 0)
    return inference.Estimate(
        estimate, estimate - half_width, estimate + half_width, n, stems, se, np.nan, p
    ), weight


def _weight(product, square):
    """Return the λ that minimises the variance of a + λ b.

    The inputs are the sum of products of a and b, and the sum of squares of b.
    """
    return np.where(square > 1e-9, np.clip(-product / np.maximum(square, 1e-9), 0, 1), 0)


def estimate(table: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """Estimate the mean by people and judge, by people alone and by the judge alone.

    A value that the judge left open counts as the judge's mean of its stratum, because the correction by
    human labels makes up for it. `judge alone` rests only on the values that the judge gave.

    Args:
        table: As in `combine`, but judged may be missing.
        confidence: Level of the intervals, between 0 and 1.

    Returns:
        One row for each of SOURCES: source, the fields of Estimate, weight (λ) and labelled (how many pairs
        people labelled).
    """
    judge = inference.clustered_mean(table["judged"], table["stem_id"], confidence)
    imputed = table.groupby("stratum")["judged"].transform("mean").fillna(0)
    imputed_table = table.assign(judged=table["judged"].fillna(imputed))
    both, weight = combine(imputed_table, confidence)
    people, _ = combine(imputed_table, confidence, alone=True)
    rows = [
        {"source": source, **asdict(result)}
        for source, result in zip(SOURCES, (both, people, judge), strict=True)
    ]
    return pd.DataFrame(rows).assign(weight=[weight, 0.0, np.nan], labelled=int(table["human"].notna().sum()))


def estimates(table: pd.DataFrame, by: list[str], confidence: float) -> pd.DataFrame:
    """Compute `estimate` of every quantity within each combination of `by`.

    Strata are those of the draw. Intervals are cut at the limits of the quantity. The placebo arm is paired
    once for each direction: `by` should hold the arm and the direction, or `table` should leave that arm out.

    Args:
        table: A table of `joined`.
        by: The columns whose combinations are estimated separately.
        confidence: Level of the intervals, between 0 and 1.

    Returns:
        The columns `by`, quantity and those of `estimate`; no rows where the plan has no pair.
    """
    if table.empty:
        return pd.DataFrame(columns=[*by, "quantity", *_ESTIMATED]).astype({"labelled": int})
    table = table.assign(stratum=table.groupby(STRATUM, sort=False).ngroup())
    parts = [
        estimate(subset, confidence).assign(**dict(zip([*by, "quantity"], levels, strict=True)))
        for levels, subset in table.groupby([*by, "quantity"], sort=False)
    ]
    return leakage.within_limits(pd.concat(parts, ignore_index=True))[[*by, "quantity", *_ESTIMATED]]
