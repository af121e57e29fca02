"""People against judges: human ratings of sentiment, and how well a judge agrees with them beside a human ceiling.

The ratings are those of Hutto & Gilbert (ICWSM 2014): 23,703 texts of four domains, each rated by 15 to 99 people from −4 to +4.
They ship in the source archive of the PyPI package vaderSentiment; the texts are third parties' and stay in the user's cache.
"""

import io
import json
import tarfile

import numpy as np
import pandas as pd
from scipy import stats
from tqdm import tqdm

from lib import inference, judges, packages

RATINGS_PACKAGE = "vaderSentiment==3.3.2"
DOMAINS = {"nytEditorialSnippets": "NYT editorials", "tweets": "tweets", "amazonReviewSnippets": "Amazon reviews",
           "movieReviewSnippets": "movie reviews"}  # fmt: skip
STATISTICS = ("pearson", "spearman", "kendall")
MEASURES = (*STATISTICS, "judge", "one rater", "judge − one rater", "split-half")


def human_ratings() -> pd.DataFrame:
    """One row a text: domain, text_id, document (texts of one article or review), text, ratings (array), mean, n_raters."""
    archive = packages.fetch(RATINGS_PACKAGE)
    with tarfile.open(archive) as outer:
        member = next(m for m in outer.getmembers() if m.name.endswith("hutto_ICWSM_2014.tar.gz"))
        with tarfile.open(fileobj=io.BytesIO(outer.extractfile(member).read())) as inner:
            parts = [_domain(inner, prefix).assign(domain=domain) for prefix, domain in DOMAINS.items()]
    return pd.concat(parts, ignore_index=True)


def _domain(archive: tarfile.TarFile, prefix: str) -> pd.DataFrame:
    texts = _rows(archive, f"{prefix}_GroundTruth.txt", ["text_id", "published_mean", "text"])
    ratings = _rows(archive, f"{prefix}_anonDataRatings.txt", ["text_id", "rated_mean", "deviation", "ratings"])
    # the means of the two files disagree for some tweets, so the mean is computed from the raters themselves
    table = texts.merge(ratings, on="text_id", validate="one_to_one")
    table["ratings"] = [np.array(json.loads(listed), dtype=float) for listed in table["ratings"]]
    table["mean"] = table["ratings"].map(np.mean)
    table["n_raters"] = table["ratings"].map(len)
    table["document"] = prefix + ":" + table["text_id"].str.split("_").str[0]
    return table[["text_id", "document", "text", "ratings", "mean", "n_raters"]]


def _rows(archive: tarfile.TarFile, name: str, columns: list[str]) -> pd.DataFrame:
    member = next(m for m in archive.getmembers() if m.name.endswith(f"/{name}"))
    text = archive.extractfile(member).read().decode("utf-8-sig", errors="replace").replace("\r\n", "\n")
    return pd.DataFrame([line.split("\t", len(columns) - 1) for line in text.split("\n") if line.strip()], columns=columns)


def correlations(judged, human) -> np.ndarray:
    """Pearson's r, Spearman's rho and Kendall's tau-b (STATISTICS) of two arrays."""
    return np.array([stats.pearsonr(judged, human)[0], stats.spearmanr(judged, human)[0], stats.kendalltau(judged, human)[0]])


def divide_raters(ratings: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """`ratings` with each text's raters divided at random: one against the rest, and in two halves.

    Adds rater (one rating), others (mean of the rest), first_half and second_half (means).
    """
    drawn = [int(rng.integers(len(given))) for given in ratings["ratings"]]
    rater = np.array([given[place] for given, place in zip(ratings["ratings"], drawn, strict=True)])
    halves = [np.array_split(rng.permutation(given), 2) for given in ratings["ratings"]]
    return ratings.assign(
        rater=rater,
        others=(ratings["mean"] * ratings["n_raters"] - rater) / (ratings["n_raters"] - 1),
        first_half=[first.mean() for first, _ in halves],
        second_half=[second.mean() for _, second in halves],
    )


def validity(ratings: pd.DataFrame, judge: str, confidence: float, draws: int, rng: np.random.Generator) -> pd.DataFrame:
    """Agreement of a judge with people by domain, long: domain, measure (one of MEASURES), estimate, low, high, n, n_documents.

    STATISTICS compare the judge with the human mean. `judge` and `one rater` are Pearson's r of each with the mean of the other
    raters; `split-half` is that of two halves of the raters. Intervals: percentile bootstrap over documents.
    """
    scored = divide_raters(ratings.assign(judged=judges.judge(judge, ratings["text"].tolist())), rng)
    parts = scored.groupby("domain", sort=False)
    return pd.concat(
        [_of_domain(domain, part, confidence, draws, rng) for domain, part in tqdm(parts, desc="bootstrap", unit=" domain")],
        ignore_index=True,
    )


def _measures(part: pd.DataFrame) -> np.ndarray:
    judge, rater = (np.corrcoef(part[column], part["others"])[0, 1] for column in ("judged", "rater"))
    halves = np.corrcoef(part["first_half"], part["second_half"])[0, 1]
    return np.array([*correlations(part["judged"], part["mean"]), judge, rater, judge - rater, halves])


def _of_domain(domain: str, part: pd.DataFrame, confidence: float, draws: int, rng: np.random.Generator) -> pd.DataFrame:
    resampled = inference.cluster_bootstrap(part, _measures, "document", draws, rng)
    low, high = inference.percentile_interval(resampled, confidence)
    table = pd.DataFrame({"measure": MEASURES, "estimate": _measures(part), "low": low, "high": high})
    return table.assign(domain=domain, n=len(part), n_documents=part["document"].nunique())
