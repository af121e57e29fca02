"""Choose which completions people should label, and how many an interval of a given width needs.

Drawn are pairs, a charged or placebo completion with its neutral reference, because the leak rate needs
labels of both. Only unmitigated completions are drawn, against the neutral arm. Pairs are drawn from strata,
and the probability that each was drawn is recorded. Strata are model × arm × kind. The kinds, shares and
assumed standard deviations are choices of this project.
"""

import hashlib

import numpy as np
import pandas as pd
from afinn import Afinn
from scipy import stats

from lib.analysis import leakage
from lib.analysis.leakage import unmitigated
from lib.annotation import labelling
from lib.stats import inference
from lib.storage import caching, records

PAIR = ["model", "group_id", "arm", "sample_index"]  # with the neutral reference, these identify a pair
COMPLETION = PAIR  # without the reference, they identify a completion
STRATUM = ["model", "arm", "kind"]
# Assumed standard deviation of (human − judge) of a pair's net excess, in points, before anything is
# labelled: about a half, a third and a twentieth of the pairs of a kind are wrong by one verdict. Sizes
# follow Neyman's allocation: in proportion to N × standard deviation.
SPREAD = {"disputed": 70.0, "leak": 60.0, "quiet": 25.0}
FEWEST = 5  # pairs drawn per stratum, or all that it has; fewer do not show its standard deviation
BLOCK = 20  # pairs; each block has its share of every stratum, so that work may stop after any block
SECONDS = 15.0  # assumed per label, until there are labels


def second_opinion(texts: list[str]) -> np.ndarray:
    """Return the sign of the AFINN lexicon's score (Nielsen 2011): −1, 0 or +1.

    This judge is unlike VADER, and is used only to find disputes.
    """
    scorer = Afinn()
    return np.sign([scorer.score(text) for text in texts]).astype(int)


def verdicts(judgements: pd.DataFrame) -> pd.Series:
    """Return the verdict of the judge on each completion.

    Returns:
        −1 for negatively charged, 0 for not charged, +1 for positively charged; missing if the judge gave
        none.
    """
    return np.sign(judgements["valence"]) * judgements["charged"].astype("Float64").astype(float)


def frame(judgements: pd.DataFrame, second=None) -> pd.DataFrame:
    """List every pair that may be drawn.

    A pair without one of its texts is left out.

    Args:
        judgements: Judgements of a run.
        second: Second opinions, one per row of `judgements`; None takes those of AFINN (`second_opinion`).

    Returns:
        One row per pair: PAIR, kind, stem_id, stem, completion, completion_reference, partner (sample_index
        of the reference, see `lib.generation.pairing`) and net (net excess of the judge, in the placebo arm
        the mean over both directions). kind is `disputed` if, for either completion, the judge has no verdict
        or another one than the second opinion; else `leak` if the verdicts on the two completions differ;
        else `quiet`.
    """
    rows = unmitigated(judgements)
    matched = leakage.pairs(rows, matched=True).groupby(PAIR, as_index=False)
    matched = matched.agg(partner=("partner", "first"), net=("net", "mean"))
    table = rows.dropna(subset="completion")
    second = (
        pd.Series(second, judgements.index).loc[table.index]
        if second is not None
        else second_opinion(table["completion"])
    )
    verdict = verdicts(table)
    table = table.assign(verdict=verdict, disputed=verdict.isna() | (verdict != second))
    texts = table[["model", "group_id", "sample_index", "arm", "completion", "verdict", "disputed"]]
    paired = texts[texts["arm"] == "neutral"].drop(columns="arm").rename(columns={"sample_index": "partner"})
    arms = table.loc[table["arm"].isin([*leakage.DIRECTIONS, "placebo"]), [*texts.columns, "stem_id", "stem"]]
    arms = arms.merge(matched, on=PAIR, validate="one_to_one")
    joined = arms.merge(
        paired, on=["model", "group_id", "partner"], suffixes=("", "_reference"), validate="many_to_one"
    )
    joined["kind"] = np.where(joined["verdict"] != joined["verdict_reference"], "leak", "quiet")
    joined.loc[joined["disputed"] | joined["disputed_reference"], "kind"] = "disputed"
    columns = [*PAIR, "kind", "stem_id", "stem", "completion", "completion_reference", "partner", "net"]
    return joined[columns].sort_values(PAIR, ignore_index=True)


def allocate(population: pd.Series, spread: pd.Series, pairs: int) -> pd.Series:
    """Allocate pairs to strata by Neyman's allocation.

    A stratum gets at least FEWEST pairs and at most all that it has. The sum therefore differs from `pairs`
    where these bounds require it.

    Args:
        population: Number of pairs in each stratum.
        spread: Standard deviation in each stratum.
        pairs: Number of pairs to draw.

    Returns:
        Number of pairs to draw in each stratum.
    """
    if population.empty:
        return population
    size, weight = population.to_numpy(), (population * spread).to_numpy()
    min_size, min_scale, max_scale = np.minimum(size, FEWEST), 0.0, (size / weight).max()
    for _ in range(60):  # the scale at which the bounded sizes add up to `pairs`
        scale = (min_scale + max_scale) / 2
        fits = np.clip(scale * weight, min_size, size).sum() <= pairs
        min_scale, max_scale = (scale, max_scale) if fits else (min_scale, scale)
    unrounded = np.clip(max_scale * weight, min_size, size)
    drawn = np.floor(unrounded + 1e-9).astype(int)
    remainder = max(0, min(pairs, size.sum()) - drawn.sum())
    drawn[np.argsort(-np.where(drawn < size, unrounded - drawn, -1), kind="stable")[:remainder]] += 1
    return pd.Series(drawn, population.index)


def draw(table: pd.DataFrame, pairs: int, seed: int, spread: dict[str, float] = SPREAD) -> pd.DataFrame:
    """Draw pairs by simple random sampling without replacement in each stratum.

    Items are distinct texts after one stem, named by a hash. If `table` has no pairs, none are drawn.

    Args:
        table: Table of `frame`.
        pairs: Number of pairs to draw.
        seed: Seed of the draw and of the item names.
        spread: Standard deviation of each kind, in points.

    Returns:
        The key: `table` with sampled, probability (pairs drawn / pairs present in the stratum), block (from
        0), item_id and item_id_reference. Pairs that are not drawn keep their stratum, but have no items.
    """
    key, rng = table.copy(), np.random.default_rng(seed)
    strata = key.groupby(STRATUM, sort=True)
    population = strata.size()
    sizes = allocate(
        population, pd.Series([spread[kind] for *_, kind in population.index], population.index), pairs
    )
    blocks = max(1, round(sizes.sum() / BLOCK))
    key["sampled"], key["block"], key["probability"] = (
        False,
        pd.array([pd.NA] * len(key), dtype="Int64"),
        np.nan,
    )
    for stratum, rows in strata.groups.items():
        drawn = rng.permutation(rows)[: sizes[stratum]]
        key.loc[drawn, "sampled"] = True
        key.loc[drawn, "block"] = (np.arange(len(drawn)) + rng.random()) * blocks // len(drawn)
        key.loc[rows, "probability"] = len(drawn) / len(rows)
    for name in ("completion", "completion_reference"):
        ids = [_item_id(seed, stem, text) for stem, text in zip(key["stem_id"], key[name], strict=True)]
        key[name.replace("completion", "item_id")] = pd.Series(ids, key.index).where(key["sampled"])
    return key


def _item_id(seed: int, stem_id: str, text: str) -> str:
    return hashlib.blake2b(f"{seed}\x1f{stem_id}\x1f{text}".encode(), digest_size=6).hexdigest()


def strata(key: pd.DataFrame) -> pd.DataFrame:
    """Count the pairs in each stratum, and those that are drawn."""
    return (
        key.groupby(STRATUM)
        .agg(pairs=("sampled", "size"), drawn=("sampled", "sum"))
        .unstack("kind")
        .reset_index()
    )


def items(key: pd.DataFrame) -> pd.DataFrame:
    """Return what annotators see, one row per distinct text: item_id, block, stem, completion.

    The order of the rows reveals nothing about the texts.
    """
    drawn = key[key["sampled"]]
    reference = drawn.assign(item_id=drawn["item_id_reference"], completion=drawn["completion_reference"])
    texts = pd.concat([drawn, reference])[["item_id", "block", "stem", "completion"]]
    return texts.sort_values(["item_id", "block"]).drop_duplicates("item_id").reset_index(drop=True)


def completions(key: pd.DataFrame) -> pd.DataFrame:
    """Return the completions of the drawn pairs: COMPLETION, stem_id, item_id and probability.

    The column probability is that of drawing at least one pair of the completion. The pairs of a reference
    are in different strata, which are drawn independently: 1 − Π (1 − probability).
    """
    reference = key.assign(arm="neutral", item_id=key["item_id_reference"], sample_index=partners(key))
    members = pd.concat([key, reference], ignore_index=True)
    members["missed"] = 1 - members["probability"]
    table = members.groupby(COMPLETION, as_index=False).agg(
        stem_id=("stem_id", "first"), item_id=("item_id", "first"), missed=("missed", "prod")
    )
    return (
        table.assign(probability=1 - table["missed"])
        .drop(columns="missed")
        .dropna(subset="item_id")
        .reset_index(drop=True)
    )


def partners(key: pd.DataFrame) -> pd.Series:
    """Return the sample_index of the reference of each pair.

    A key without the column partner belongs to a run whose arms had equally many draws.
    """
    return key["partner"] if "partner" in key else key["sample_index"]


def save(set_name: str, key: pd.DataFrame) -> pd.DataFrame:
    """Write the key and, in a folder without it, the blind items.

    A plan that people have begun to label is kept, whatever would be drawn today.

    Args:
        set_name: Name of the parameter set.
        key: Key of `draw`.

    Returns:
        The key that counts.

    Raises:
        FileNotFoundError: If there are labels but their key is missing.
        DataError: If their key is damaged.
    """
    folder, path = labelling.folder(set_name), records.table_path(set_name, "annotation_key")
    if labelling.files(folder):
        if not path.exists():
            raise FileNotFoundError(
                f"{path}: the key to the labels in annotation/ is missing; bring it back, or move "
                "annotation/ away to draw anew: without it nobody knows what was labelled"
            )
        with caching.undamaged(path, "bring it back: without it nobody knows what was labelled"):
            return pd.read_parquet(path)
    records.write_table(set_name, "annotation_key", key)
    records.write_text(
        folder / "items.jsonl", items(key).to_json(orient="records", lines=True, force_ascii=False)
    )
    return key


def half_widths(
    table: pd.DataFrame, pairs: int, confidence: float, spread: dict[str, float] = SPREAD
) -> pd.DataFrame:
    """Compute the interval half-widths of the net excess to expect from `pairs` labelled pairs.

    The variance is the variance between stems (clustered, of the net excess of the judge) plus that of the
    draw, Σ (N_h/N)² (1 − n_h/N_h) spread_h² / n_h (Cochran 1977, eq. 5.6).

    Args:
        table: Table of `frame`.
        pairs: Number of labelled pairs.
        confidence: Level of the interval, between 0 and 1.
        spread: Standard deviation of each kind, in points.

    Returns:
        One row per model and arm: stems_alone (half-width that remains if every pair is labelled), half_width
        and pairs.
    """
    population = table.groupby(STRATUM).size()
    stratum_sd = pd.Series([spread[kind] for *_, kind in population.index], population.index)
    sizes = allocate(population, stratum_sd, pairs)
    share = population / population.groupby(["model", "arm"]).transform("sum")
    sampling_variance = (
        (share**2 * (1 - sizes / population) * stratum_sd**2 / sizes).groupby(["model", "arm"]).sum()
    )
    between = inference.clustered_means(table, "net", ["model", "arm"], confidence).set_index(
        ["model", "arm"]
    )
    t_quantile = stats.t.ppf((1 + confidence) / 2, between["n_stems"] - 1)
    widths = pd.DataFrame({"stems_alone": t_quantile * between["se"]})
    widths["half_width"] = t_quantile * np.hypot(between["se"], np.sqrt(sampling_variance))
    return widths.assign(pairs=sizes.groupby(["model", "arm"]).sum()).reset_index()


def effort(
    table: pd.DataFrame, counts: list[int], seed: int, confidence: float, seconds: float = SECONDS
) -> pd.DataFrame:
    """Estimate the effort and the precision of labelling for each number of pairs in `counts`.

    Args:
        table: Table of `frame`.
        counts: Numbers of pairs.
        seed: Seed of the draw.
        confidence: Level of the intervals, between 0 and 1.
        seconds: Seconds per label.

    Returns:
        One row per number of pairs: pairs, texts (to label), hours (per person), half_width and stems_alone
        (the widest to expect), and agreement_half_width, that of an agreement of 85 %, weighted as the draw
        requires (Kish's effective sample size).
    """
    rows = []
    for count in counts if len(table) else ():  # without pairs there is nothing to label
        key = draw(table, count, seed)
        sampled, texts = completions(key), len(items(key))
        weight = 1 / sampled["probability"]
        n_effective = weight.sum() ** 2 / (weight**2).sum()
        agreement_half_width = stats.norm.ppf((1 + confidence) / 2) * 100 * np.sqrt(0.85 * 0.15 / n_effective)
        widest = half_widths(table, count, confidence)[["half_width", "stems_alone"]].max()
        rows.append(
            {
                "pairs": int(key["sampled"].sum()),
                "texts": texts,
                "hours": texts * seconds / 3600,
                **widest,
                "agreement_half_width": agreement_half_width,
            }
        )
    return pd.DataFrame(rows)
