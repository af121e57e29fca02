"""The pairs of completions that a reader explores: each charged completion beside its neutral partner.

`table` has one row per pair of a finished run. `to_json` returns the same as plain values for a page, with
what the page needs to mark charged words and to form intervals. `save` keeps them in outputs/<set>/, where a
clone without the tables of the run reads them with `load`.
"""

import gzip
import json
import os
import re
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from lib.analysis import leakage
from lib.claims import rules
from lib.config import params
from lib.config.specs import JUDGE_SCHEMA, NO_MITIGATION
from lib.generation import pairing
from lib.nlp import vader
from lib.nlp.text import normalize
from lib.report import card, reports
from lib.runtime.errors import DataError
from lib.storage import caching, records

VERSION = "pairs-1"  # of the file that `save` writes
FILE = "pairs.json.gz"
TEXTS = (
    "model",
    "mitigation",
    "arm",
    "emotion",
    "intensity",
    "slot",
    "domain",
    "form",
    "stem_id",
    "group_id",
    "context",
    "stem",
    "completion",
    "outcome",
    "note",
    "neutral_mitigation",
    "neutral_context",
    "neutral_completion",
    "neutral_outcome",
    "neutral_note",
)
NUMBERS = (
    "draw",
    "neutral_draw",
    "valence",
    "vader",
    "neutral_valence",
    "neutral_vader",
    "shift",
    "towards",
    "away",
    "net",
)
_READ = ("context", "stem", "completion", "neutral_context", "neutral_completion")
_OF_NEUTRAL = {
    "asked": "neutral_mitigation",
    "context": "neutral_context",
    "completion": "neutral_completion",
    "outcome": "neutral_outcome",
    "note": "neutral_note",
    "valence": "neutral_valence",
}
_KEY = ["model", "mitigation", "group_id"]
_DIGITS = 4
_MOST_DF = 300


def table(judgements: pd.DataFrame) -> pd.DataFrame:
    """Every charged completion beside the neutral completion that it is paired with.

    The partner is the draw with the same noise; where the neutral arm has fewer draws, its draws are used in
    rotation (`pairing.with_partner`). Quantities are of this partner alone. A missing completion keeps its
    row, with its outcome and without a valence.

    Args:
        judgements: One row per completion, as in `leakage.pairs`, with context, stem, completion, outcome and
            note.

    Returns:
        One row per pair, in the benchmark's order, with the columns TEXTS and NUMBERS. draw and neutral_draw
        count from 1. neutral_mitigation is the mitigation under which the neutral completion was generated.
        valence is of the judge and vader of VADER, both on the human scale (−4 … 4). shift is in points of
        that scale; towards, away and net are in percentage points (`leakage.pairs`).
    """
    ordered = judgements.assign(place=_places(judgements), asked=judgements["mitigation"])
    paired = leakage.charged_pairs(leakage.pairs(ordered, matched=True))
    neutral = pairing.references(ordered, "neutral")
    partners = neutral[[*_KEY, "sample_index", *_OF_NEUTRAL]].rename(
        columns={"sample_index": "partner", **_OF_NEUTRAL}
    )
    both = paired.merge(partners, on=[*_KEY, "partner"], how="left", validate="many_to_one")
    both = both.assign(
        draw=both["sample_index"] + 1,
        neutral_draw=both["partner"] + 1,
        vader=_by_vader(both["completion"]),
        neutral_vader=_by_vader(both["neutral_completion"]),
    )
    return both.sort_values("place", ignore_index=True).reindex(columns=[*TEXTS, *NUMBERS])


def _places(judgements: pd.DataFrame) -> np.ndarray:
    """Place of each completion: by model, group, mitigation, arm and draw, each as they first appear."""
    codes = [pd.factorize(judgements[name])[0] for name in ("model", "group_id", "mitigation", "arm")]
    place = np.empty(len(judgements), dtype=int)
    place[np.lexsort([judgements["sample_index"], *reversed(codes)])] = np.arange(len(judgements))
    return place


def _by_vader(completions: pd.Series) -> pd.Series:
    """VADER's valence of each completion; NaN where it is missing."""
    distinct = list(completions.dropna().unique())
    return completions.map(dict(zip(distinct, vader.valences(distinct), strict=True))).astype(float)


def to_json(set_name: str) -> dict:
    """Collect what the explorer of a finished run shows, as plain values.

    Returns:
        A dict with the keys version; set; title; mock (the banner of the set, "" if it has none); judge
        (name, version); confidence; t (two-sided quantiles of Student's t at that confidence, for 1 … 300
        degrees of freedom); benchmark (None without a card); board (`rules.board_kind`); no_mitigation;
        lexicon (`lexicon_of`); strings (every distinct text); and columns. A column of TEXTS holds places in
        strings, one of NUMBERS holds numbers; None is a missing value.

    Raises:
        FileNotFoundError: If the run has no judgements.
        ValueError: If an older version wrote them, or if no completion of the run followed a charged context.
    """
    parameters = params.load(set_name)
    judgements = records.read_models(set_name, "judgements", [model.name for model in parameters.models])
    about = {
        "title": parameters.title,
        "mock": reports.banner(parameters),
        "benchmark": (card.read(set_name) or {}).get("benchmark"),
    }
    judge = JUDGE_SCHEMA.validate_python(parameters.judging["judge"])
    return of_judgements(judgements, set_name, judge.name, parameters.judging["confidence"], **about)


def of_judgements(
    judgements: pd.DataFrame, set_name: str, judge: str, confidence: float, **about: str | None
) -> dict:
    """Collect the same as `to_json` for judgements that are at hand.

    Args:
        judgements: One row per completion, as notebook 03 writes them.
        set_name: The parameter set, which need not have a file.
        judge: Name of the judge.
        confidence: Level of the intervals, between 0 and 1.
        about: Values for title, mock and benchmark.

    Raises:
        DataError: If no completion followed a charged context.
    """
    pairs = table(judgements)
    if pairs.empty:
        raise DataError(f"set {set_name}: no completion follows a charged context, so there are no pairs")
    return {
        "version": VERSION,
        "set": set_name,
        "title": set_name,
        "mock": "",
        "benchmark": None,
        **about,
        "judge": {"name": judge, "version": ", ".join(sorted(judgements["judge"].unique()))},
        "confidence": confidence,
        "t": quantiles(confidence),
        "board": rules.board_kind(set_name),
        "no_mitigation": NO_MITIGATION,
        **columnar(pairs),
    }


def quantiles(confidence: float) -> list[float | None]:
    """Two-sided quantiles of Student's t for 1 … 300 degrees of freedom: ± as many standard errors."""
    return _plain(stats.t.ppf((1 + confidence) / 2, np.arange(1, _MOST_DF + 1)))


def columnar(pairs: pd.DataFrame) -> dict:
    """Return the pairs of `table` as plain values: the keys lexicon, strings and columns of `to_json`."""
    texts = pairs[list(TEXTS)].astype(object).where(pairs[list(TEXTS)].notna(), None)
    codes, strings = pd.factorize(texts.to_numpy().T.ravel())  # −1 where missing
    coded = codes.reshape(len(TEXTS), len(pairs))
    read = pd.unique(pairs[list(_READ)].to_numpy(dtype=object).ravel())
    columns = {
        name: [None if code < 0 else int(code) for code in row]
        for name, row in zip(TEXTS, coded, strict=True)
    }
    return {
        "lexicon": lexicon_of(text for text in read if isinstance(text, str)),
        "strings": [str(text) for text in strings],
        "columns": columns | {name: _plain(pairs[name]) for name in NUMBERS},
    }


def lexicon_of(texts: Iterable[str]) -> dict[str, float]:
    """Return the words and emoticons of `texts` that VADER's lexicon rates, with their mean human rating.

    Args:
        texts: Any texts.

    Returns:
        The rating, −4 … +4, by the word as it stands in the text, in lower case.
    """
    tokens = {token for text in texts for token in text.split()}
    words = {word for token in tokens for word in re.findall(r"\w+(?:['’-]\w+)*", token)}
    lexicon = vader.lexicon()
    ratings = {word.lower(): lexicon.get(normalize(word).casefold(), 0.0) for word in tokens | words}
    return {word: float(rating) for word, rating in sorted(ratings.items()) if rating}


def _plain(values: Iterable[float]) -> list[float | None]:
    """Numbers as JSON holds them: rounded, whole ones without a point, None for NaN."""
    rounded = [None if pd.isna(value) else round(float(value), _DIGITS) for value in values]
    return [int(value) if value is not None and value.is_integer() else value for value in rounded]


def save(set_name: str) -> Path:
    """Write what `to_json` collects to outputs/<set>/pairs.json.gz; the same bytes for the same run.

    Returns:
        The path.
    """
    path = records.run_folder(set_name) / FILE
    text = json.dumps(to_json(set_name), sort_keys=True, separators=(",", ":"), allow_nan=False)
    with records.explained(path), caching.whole(path, str(os.getpid())) as tmp_path:
        tmp_path.write_bytes(gzip.compress(text.encode("ascii"), compresslevel=9, mtime=0))
    return path


def load(set_name: str) -> dict | None:
    """Read what `save` has written.

    Returns:
        The dict of `to_json`; None if there is no file.

    Raises:
        DataError: If the file is damaged or of another version; the message names the remedy.
    """
    path = records.run_folder(set_name) / FILE
    if not path.is_file():
        return None
    remedy = f"make it anew: make reproduce SET={set_name}"
    try:
        data = json.loads(gzip.decompress(path.read_bytes()))
        version = data["version"]
    except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError):
        raise DataError(f"outputs/{set_name}/{FILE} is damaged; {remedy}") from None
    if version != VERSION:
        raise DataError(f"outputs/{set_name}/{FILE} is of version {version}, not {VERSION}; {remedy}")
    return data
