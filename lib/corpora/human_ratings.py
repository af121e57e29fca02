"""Human ratings of sentiment: 23,703 texts of four domains, each rated by 15 to 99 people from −4 to +4.

The ratings are those of Hutto & Gilbert (ICWSM 2014), which ship in the source archive of the PyPI package
vaderSentiment. The texts belong to third parties and stay in the user's cache.
"""

import io
import json
import tarfile

import numpy as np
import pandas as pd

from lib.storage import packages

PACKAGE = "vaderSentiment==3.3.2"
DOMAINS = {
    "nytEditorialSnippets": "NYT editorials",
    "tweets": "tweets",
    "amazonReviewSnippets": "Amazon reviews",
    "movieReviewSnippets": "movie reviews",
}


def read() -> pd.DataFrame:
    """Read the ratings.

    Returns:
        One row per text: domain, text_id, document (shared by the texts of one article or review), text,
        ratings (array), mean, n_raters.
    """
    archive = packages.fetch(PACKAGE)
    with (
        tarfile.open(archive) as outer,
        tarfile.open(fileobj=io.BytesIO(_content(outer, "hutto_ICWSM_2014.tar.gz"))) as inner,
    ):
        parts = [_domain(inner, prefix).assign(domain=domain) for prefix, domain in DOMAINS.items()]
    return pd.concat(parts, ignore_index=True)


def _content(archive: tarfile.TarFile, ending: str) -> bytes:
    """Return the bytes of the file in `archive` whose name ends so."""
    file = archive.extractfile(next(m for m in archive.getmembers() if m.name.endswith(ending)))
    assert file is not None  # it is no folder
    return file.read()


def _domain(archive: tarfile.TarFile, prefix: str) -> pd.DataFrame:
    texts = _rows(archive, f"{prefix}_GroundTruth.txt", ["text_id", "published_mean", "text"])
    ratings = _rows(
        archive, f"{prefix}_anonDataRatings.txt", ["text_id", "rated_mean", "deviation", "ratings"]
    )
    # the means in the two files differ for some tweets, so the mean is computed from the single ratings
    table = texts.merge(ratings, on="text_id", validate="one_to_one")
    table["ratings"] = [np.array(json.loads(listed), dtype=float) for listed in table["ratings"]]
    table["mean"] = table["ratings"].map(np.mean)
    table["n_raters"] = table["ratings"].map(len)
    table["document"] = prefix + ":" + table["text_id"].str.split("_").str[0]
    return table[["text_id", "document", "text", "ratings", "mean", "n_raters"]]


def _rows(archive: tarfile.TarFile, name: str, columns: list[str]) -> pd.DataFrame:
    text = _content(archive, f"/{name}").decode("utf-8-sig", errors="replace").replace("\r\n", "\n")
    return pd.DataFrame(
        [line.split("\t", len(columns) - 1) for line in text.split("\n") if line.strip()], columns=columns
    )
