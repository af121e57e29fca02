"""Which completions people should label: pairs drawn from strata, with the probability that each was drawn,
and how many pairs an interval of a wished width takes.

Drawn are pairs, a charged or placebo completion with its neutral reference, for the leak rate needs both
labelled. Only unmitigated completions are drawn, against the neutral arm. Strata are model × arm × kind;
kinds, shares and assumed spreads are this project's choice.
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
from lib.storage import records

PAIR = ["model", "group_id", "arm", "sample_index"]  # with the neutral reference this names a pair
COMPLETION = PAIR  # and without it a completion
STRATUM = ["model", "arm", "kind"]
KINDS = ("disputed", "leak", "quiet")
# Assumed standard deviation of (people − judge) of a pair's net excess, in points, before anything is
# labelled: about half, a third and a twentieth of a kind's pairs wrong by one verdict. Sizes follow Neyman's
# allocation: in proportion to N × spread.
SPREAD = {"disputed": 70.0, "leak": 60.0, "quiet": 25.0}
FEWEST = 5  # pairs drawn in a stratum, or all that it has: fewer tell nothing of its spread
BLOCK = 20  # pairs; each block holds its share of every stratum, so that work may stop after any block
SECONDS = 15.0  # assumed for a label, until there are some


def second_opinion(texts: list[str]) -> np.ndarray:
    """−1, 0 or +1: the sign of the AFINN lexicon's score (Nielsen 2011), a judge unlike VADER, used only to
    find disputes."""
    scorer = Afinn()
    return np.sign([scorer.score(text) for text in texts]).astype(int)


def verdicts(judgements: pd.DataFrame) -> pd.Series:
    """The judge's verdict: −1 negatively charged, 0 not charged, +1 positively; missing where it gave
    none."""
    return np.sign(judgements["valence"]) * judgements["charged"].astype("Float64").astype(float)


def frame(judgements: pd.DataFrame, second=None) -> pd.DataFrame:
    """Every pair that may be drawn, one row each: PAIR, kind, stem_id, stem, the two texts, partner (the
    reference's sample_index, see `lib.generation.pairing`), and the judge's net excess.

    kind: `disputed` where of either completion the judge and the second opinion (of the rows of `judgements`;
    AFINN's unless given) have different verdicts or the judge has none; else `leak` where the verdicts of the
    two differ; else `quiet`. net is the mean over both directions in the placebo arm. A pair without one of
    its texts is left out.
    """
    every = unmitigated(judgements)
    matched = leakage.pairs(every, matched=True).groupby(PAIR, as_index=False)
    matched = matched.agg(partner=("partner", "first"), net=("net", "mean"))
    table = every.dropna(subset="completion")
    second = (
        pd.Series(second, judgements.index).loc[table.index]
        if second is not None
        else second_opinion(table["completion"])
    )
    verdict = verdicts(table)
    table = table.assign(verdict=verdict, disputed=verdict.isna() | (verdict != second))
    about = table[["model", "group_id", "sample_index", "arm", "completion", "verdict", "disputed"]]
    paired = about[about["arm"] == "neutral"].drop(columns="arm").rename(columns={"sample_index": "partner"})
    arms = table.loc[table["arm"].isin([*leakage.DIRECTIONS, "placebo"]), [*about.columns, "stem_id", "stem"]]
    arms = arms.merge(matched, on=PAIR, validate="one_to_one")
    both = arms.merge(
        paired, on=["model", "group_id", "partner"], suffixes=("", "_reference"), validate="many_to_one"
    )
    both["kind"] = np.where(both["verdict"] != both["verdict_reference"], "leak", "quiet")
    both.loc[both["disputed"] | both["disputed_reference"], "kind"] = "disputed"
    kept = [*PAIR, "kind", "stem_id", "stem", "completion", "completion_reference", "partner", "net"]
    return both[kept].sort_values(PAIR, ignore_index=True)


def allocate(population: pd.Series, spread: pd.Series, pairs: int) -> pd.Series:
    """How many of `pairs` to draw in each stratum, of `population` many with a `spread` each: Neyman's
    allocation.

    At least FEWEST and at most all of a stratum, so that the sum may differ from `pairs` where these bounds
    say so.
    """
    if population.empty:
        return population
    size, weight = population.to_numpy(), (population * spread).to_numpy()
    lowest, low, high = np.minimum(size, FEWEST), 0.0, (size / weight).max()
    for _ in range(60):  # the scale at which the bounded sizes add up to `pairs`
        middle = (low + high) / 2
        fits = np.clip(middle * weight, lowest, size).sum() <= pairs
        low, high = (middle, high) if fits else (low, middle)
    exact = np.clip(high * weight, lowest, size)
    drawn = np.floor(exact + 1e-9).astype(int)
    left = max(0, min(pairs, size.sum()) - drawn.sum())
    drawn[np.argsort(-np.where(drawn < size, exact - drawn, -1), kind="stable")[:left]] += 1
    return pd.Series(drawn, population.index)


def draw(table: pd.DataFrame, pairs: int, seed: int, spread: dict[str, float] = SPREAD) -> pd.DataFrame:
    """The key: a table of `frame` with sampled, probability, block, and the item of each text, item_id and
    item_id_reference.

    Simple random sampling without replacement inside each stratum: `probability` is drawn by present. Blocks
    are numbered from 0. Items are distinct texts after one stem, named by a hash; pairs not drawn keep their
    stratum but have no items. Of no pairs, none are drawn.
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
    """How many pairs there are in each stratum, and how many are drawn."""
    return (
        key.groupby(STRATUM)
        .agg(pairs=("sampled", "size"), drawn=("sampled", "sum"))
        .unstack("kind")
        .reset_index()
    )


def items(key: pd.DataFrame) -> pd.DataFrame:
    """What annotators see, a row for each distinct text: item_id, block, stem, completion, in an order that
    tells nothing."""
    drawn = key[key["sampled"]]
    reference = drawn.assign(item_id=drawn["item_id_reference"], completion=drawn["completion_reference"])
    both = pd.concat([drawn, reference])[["item_id", "block", "stem", "completion"]]
    return both.sort_values(["item_id", "block"]).drop_duplicates("item_id").reset_index(drop=True)


def completions(key: pd.DataFrame) -> pd.DataFrame:
    """The completions of the drawn pairs: COMPLETION, stem_id, item_id, and probability, that of at least one
    of its pairs.

    The pairs of a reference lie in different strata, which are drawn independently: 1 − Π (1 − probability).
    """
    reference = key.assign(arm="neutral", item_id=key["item_id_reference"], sample_index=partners(key))
    both = pd.concat([key, reference], ignore_index=True)
    both["missed"] = 1 - both["probability"]
    table = both.groupby(COMPLETION, as_index=False).agg(
        stem_id=("stem_id", "first"), item_id=("item_id", "first"), missed=("missed", "prod")
    )
    return (
        table.assign(probability=1 - table["missed"])
        .drop(columns="missed")
        .dropna(subset="item_id")
        .reset_index(drop=True)
    )


def partners(key: pd.DataFrame) -> pd.Series:
    """The sample_index of each pair's reference; a key without the column is of a run whose arms had equally
    many draws."""
    return key["partner"] if "partner" in key else key["sample_index"]


def save(set_name: str, key: pd.DataFrame) -> pd.DataFrame:
    """Write the key and, in a folder without it, the blind items; returns the key that counts.

    A plan that people have begun to label is kept, whatever would be drawn today. FileNotFoundError if its
    key is gone.
    """
    folder, path = labelling.folder(set_name), records.table_path(set_name, "annotation_key")
    if labelling.files(folder):
        if not path.exists():
            raise FileNotFoundError(
                f"{path}: the key to the labels in annotation/ is missing; bring it back, or move "
                "annotation/ away to draw anew: without it nobody knows what was labelled"
            )
        return pd.read_parquet(path)
    records.write_table(set_name, "annotation_key", key)
    records.write_text(
        folder / "items.jsonl", items(key).to_json(orient="records", lines=True, force_ascii=False)
    )
    return key


def half_widths(
    table: pd.DataFrame, pairs: int, confidence: float, spread: dict[str, float] = SPREAD
) -> pd.DataFrame:
    """What `pairs` labelled pairs are expected to give: for each model and arm the half-width of the net
    excess's interval.

    Columns stems_alone (what remains if every pair is labelled) and half_width. The variance is that between
    stems (clustered, of the judge's net excess) plus Σ (N_h/N)² (1 − n_h/N_h) spread_h² / n_h of the draw
    (Cochran 1977, eq. 5.6).
    """
    population = table.groupby(STRATUM).size()
    of_stratum = pd.Series([spread[kind] for *_, kind in population.index], population.index)
    sizes = allocate(population, of_stratum, pairs)
    share = population / population.groupby(["model", "arm"]).transform("sum")
    drawing = (share**2 * (1 - sizes / population) * of_stratum**2 / sizes).groupby(["model", "arm"]).sum()
    between = inference.clustered_means(table, "net", ["model", "arm"], confidence).set_index(
        ["model", "arm"]
    )
    reach = stats.t.ppf((1 + confidence) / 2, between["n_stems"] - 1)
    widths = pd.DataFrame({"stems_alone": reach * between["se"]})
    widths["half_width"] = reach * np.hypot(between["se"], np.sqrt(drawing))
    return widths.assign(pairs=sizes.groupby(["model", "arm"]).sum()).reset_index()


def needed(
    table: pd.DataFrame, width: float, confidence: float, spread: dict[str, float] = SPREAD
) -> int | None:
    """The fewest pairs for which every half-width of `half_widths` is at most `width` points; None if all
    pairs are too few."""
    low, high = 1, len(table)
    if half_widths(table, high, confidence, spread)["half_width"].max() > width:
        return None
    while low < high:
        middle = (low + high) // 2
        enough = half_widths(table, middle, confidence, spread)["half_width"].max() <= width
        low, high = (low, middle) if enough else (middle + 1, high)
    return low


def effort(
    table: pd.DataFrame, counts: list[int], seed: int, confidence: float, seconds: float = SECONDS
) -> pd.DataFrame:
    """One row for each number of pairs in `counts`: texts to label, hours for each person, widest half-widths
    to expect.

    agreement_half_width is that of a share of agreement of 85 %, weighted as the draw demands (Kish's
    effective size).
    """
    rows = []
    for count in counts if len(table) else ():  # there is nothing to label otherwise
        key = draw(table, count, seed)
        drawn, texts = completions(key), len(items(key))
        weight = 1 / drawn["probability"]
        effective = weight.sum() ** 2 / (weight**2).sum()
        agreed = stats.norm.ppf((1 + confidence) / 2) * 100 * np.sqrt(0.85 * 0.15 / effective)
        widest = half_widths(table, count, confidence)[["half_width", "stems_alone"]].max()
        rows.append(
            {
                "pairs": int(key["sampled"].sum()),
                "texts": texts,
                "hours": texts * seconds / 3600,
                **widest,
                "agreement_half_width": agreed,
            }
        )
    return pd.DataFrame(rows)
