"""The leakage quantities as people see them: a few human labels and a judge's verdict on every pair, put
together.

The difference estimator of survey sampling, known as prediction-powered inference (Angelopoulos et al.,
Science 2023; with the weight λ, PPI++, arXiv 2311.01453): the judge's mean over all pairs, corrected by what
people say otherwise on the pairs drawn. It is right whatever the judge is worth; a good judge makes the
interval narrow.
"""

from dataclasses import asdict, fields

import numpy as np
import pandas as pd
from scipy import stats

from lib.analysis import leakage
from lib.annotation import sampling_plan
from lib.annotation.sampling_plan import COMPLETION, PAIR, STRATUM
from lib.nlp.vader import SCALE
from lib.stats import inference

POLARITY = {"negative": -1.0, "none": 0.0, "positive": 1.0}  # unclear is missing
SOURCES = ("people and judge", "people alone", "judge alone")
_ESTIMATED = ["source", *(field.name for field in fields(inference.Estimate)), "weight", "labelled"]


def valences(labels: pd.DataFrame) -> pd.DataFrame:
    """Complete labels with the columns polarity (−1, 0, +1) and valence, both missing where the annotator
    cannot tell.

    valence is polarity × strength × 4/3: people's three steps stretched to the scale of the judges (ours).
    """
    table = labels[labels["complete"]].copy()
    table["polarity"] = table["charge"].map(POLARITY).astype(float)
    strength = table["intensity"].astype("Float64").astype(float).fillna(0)
    table["valence"] = table["polarity"] * strength * SCALE / 3
    return table


def labelled_completions(
    key: pd.DataFrame, labels: pd.DataFrame, uncalled_only: bool = False
) -> pd.DataFrame:
    """Judgements by people: a row for each completion drawn and annotator who labelled it, with valence and
    charged.

    `uncalled_only`: charge that the beginning of the sentence calls for counts as none.
    """
    said = valences(labels)
    if uncalled_only:
        called_for = said["called_for"].eq("yes").fillna(False).to_numpy(dtype=bool)
        said = said.assign(
            valence=said["valence"].mask(called_for, 0.0), polarity=said["polarity"].mask(called_for, 0.0)
        )
    table = sampling_plan.completions(key).merge(said, on="item_id")
    return table.assign(charged=table["polarity"].ne(0).astype("boolean").mask(table["polarity"].isna()))


def human_pairs(key: pd.DataFrame, labels: pd.DataFrame, uncalled_only: bool = False) -> pd.DataFrame:
    """The QUANTITIES of `leakage.pairs`, matched, on the pairs drawn: each the mean over the annotators who
    labelled both.

    Columns PAIR, direction and QUANTITIES; pairs that nobody labelled whole are missing.
    """
    table = labelled_completions(key, labels, uncalled_only)
    if table.empty:
        return pd.DataFrame(columns=[*PAIR, "direction", *leakage.QUANTITIES])
    pairs = key[PAIR].assign(partner=sampling_plan.partners(key))
    # each annotator's pairs are made apart
    one_each = table.assign(mitigation="by " + table["annotator"].astype(str))
    one_each = one_each.merge(pairs, on=PAIR, how="left", validate="many_to_one")
    found = leakage.pairs(one_each, matched=True).dropna(subset=list(leakage.QUANTITIES))
    drawn = found.merge(key.loc[key["sampled"], PAIR], on=PAIR)
    return drawn.groupby([*PAIR, "direction"], as_index=False)[list(leakage.QUANTITIES)].mean()


def joined(
    judgements: pd.DataFrame, key: pd.DataFrame, labels: pd.DataFrame, uncalled_only: bool = False
) -> pd.DataFrame:
    """Every pair of the plan and direction, long: PAIR, kind, stem_id, slot, direction, quantity, judged,
    human.

    Both are of single draws (`leakage.pairs`, matched), for people label single pairs: so the judge's leak
    rate is not that of all references. `human` is missing where nobody labelled the pair. ValueError if
    `judgements` no longer hold the completions that were drawn.
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
    now = leakage.unmitigated(judgements)[[*COMPLETION, "completion"]]
    both = key[[*PAIR, "completion"]].merge(now, on=PAIR, how="left", suffixes=("", "_now"))
    changed = both[both["completion"] != both["completion_now"]]
    if len(changed):
        first = changed.iloc[0]
        raise ValueError(
            f"annotation_key.parquet: {len(changed):,} of {len(both):,} completions are not those that "
            "were drawn "
            f"(first: {first.model}, {first.group_id}, {first.arm}, {first.sample_index}); restore the run "
            "that was "
            "labelled, or move annotation/ and annotation_key.parquet away to draw anew"
        )


def _stratified(size, labelled, human, judged_labelled, judged) -> tuple[np.ndarray, np.ndarray]:
    """Stratified means a of people's values and b, the judge's over all less the judge's over the labelled,
    from the sums of each stratum (last axis): a + λ b estimates the human mean for any λ. A stratum without
    pairs counts for nothing."""
    share = size / size.sum(axis=-1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        a, b = human / labelled, judged / size - judged_labelled / labelled
    return tuple((share * np.where(size == 0, 0, part)).sum(axis=-1) for part in (a, b))


def _sums(table: pd.DataFrame) -> list[np.ndarray]:
    """Over the pairs of each stem (row) and stratum (column): how many there are and how many are labelled,
    the sum of people's values, of the judge's over the labelled, and of the judge's over all."""
    human, judged = table["human"].to_numpy(float), table["judged"].to_numpy(float)
    stem, stratum = pd.factorize(table["stem_id"])[0], pd.factorize(table["stratum"])[0]
    cell, shape = stem * (stratum.max() + 1) + stratum, (stem.max() + 1, stratum.max() + 1)
    known = ~np.isnan(human)
    columns = (np.ones(len(table)), known, np.where(known, human, 0), np.where(known, judged, 0), judged)
    return [np.bincount(cell, column, shape[0] * shape[1]).reshape(shape) for column in columns]


def combine(table: pd.DataFrame, confidence: float, alone: bool = False) -> tuple[inference.Estimate, float]:
    """People's mean by the difference estimator, and the judge's weight λ, between 0 and 1; `alone` leaves
    the judge aside.

    `table` has judged (nowhere missing), human (missing where not labelled), stratum and stem_id. The error
    is the jackknife's that leaves out one stem at a time. λ makes it smallest; each stem's part in the error
    is taken at the λ of the other stems, else a λ fitted to few stems would flatter itself. t interval, stems
    − 1 degrees of freedom. NaN where some stratum has no labels, or those of one stem only, so that nothing
    tells what it holds without that stem. No interval where all labels say the same though others are
    missing: what was not seen to vary is not therefore certain.
    """
    sums = _sums(table)
    stems, n = len(sums[0]), len(table)
    whole = [part.sum(axis=0) for part in sums]
    without = [total - part for total, part in zip(whole, sums, strict=True)]
    (a, b), (a_without, b_without) = _stratified(*whole), _stratified(*without)
    if stems < 3 or np.isnan(a_without).any():
        return inference.Estimate(np.nan, np.nan, np.nan, n, stems, np.nan, np.nan, np.nan), np.nan
    off_a, off_b = (stems - 1) * (a_without.mean() - a_without), (stems - 1) * (b_without.mean() - b_without)
    weight = 0.0 if alone else float(_weight(off_a @ off_b, off_b @ off_b))
    # what the sums of squares lose with a stem, its share in the means included
    left_out = stems / (stems - 1)
    of_others = _weight(off_a @ off_b - left_out * off_a * off_b, off_b @ off_b - left_out * off_b**2)
    error = (off_a + (0.0 if alone else of_others) * off_b).std(ddof=1) / np.sqrt(stems)
    estimate = float(a + weight * b)
    if error < 1e-9 and table["human"].isna().any():
        return inference.Estimate(estimate, np.nan, np.nan, n, stems, np.nan, np.nan, np.nan), weight
    reach = stats.t.ppf((1 + confidence) / 2, stems - 1) * error
    p = 2 * stats.t.sf(abs(estimate) / error, stems - 1) if error > 0 else float(estimate == 0)
    return inference.Estimate(
        estimate, estimate - reach, estimate + reach, n, stems, error, np.nan, p
    ), weight


def _weight(product, square):
    """The λ that makes the spread of a + λ b smallest, from the sum of products of a and b and of squares of
    b."""
    return np.where(square > 1e-9, np.clip(-product / np.maximum(square, 1e-9), 0, 1), 0)


def estimate(table: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """One row for each of SOURCES, with the columns of Estimate, `weight` (λ) and `labelled`, how many pairs
    people labelled.

    `table` is as in `combine`, but the judge may leave values open, for people's correction makes up for
    them: an open one counts as the judge's mean of its stratum. `judge alone` rests on what the judge says.
    """
    judge = inference.clustered_mean(table["judged"], table["stem_id"], confidence)
    guess = table.groupby("stratum")["judged"].transform("mean").fillna(0)
    whole = table.assign(judged=table["judged"].fillna(guess))
    both, weight = combine(whole, confidence)
    people, _ = combine(whole, confidence, alone=True)
    rows = [
        {"source": source, **asdict(found)}
        for source, found in zip(SOURCES, (both, people, judge), strict=True)
    ]
    return pd.DataFrame(rows).assign(weight=[weight, 0.0, np.nan], labelled=int(table["human"].notna().sum()))


def estimates(table: pd.DataFrame, by: list[str], confidence: float) -> pd.DataFrame:
    """`estimate` of every quantity within each combination of `by`, from a table of `joined`; strata are
    those of the draw.

    Intervals are cut at the limits of the quantity. The placebo arm is paired once for each direction: `by`
    should hold the arm and the direction, or `table` leave it out. No rows where the plan has no pair.
    """
    if table.empty:
        return pd.DataFrame(columns=[*by, "quantity", *_ESTIMATED]).astype({"labelled": int})
    table = table.assign(stratum=table.groupby(STRATUM, sort=False).ngroup())
    parts = [
        estimate(part, confidence).assign(**dict(zip([*by, "quantity"], levels, strict=True)))
        for levels, part in table.groupby([*by, "quantity"], sort=False)
    ]
    return leakage.within_limits(pd.concat(parts, ignore_index=True))[[*by, "quantity", *_ESTIMATED]]
