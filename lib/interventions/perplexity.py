"""What an intervention costs on ordinary text: the perplexity of passages that ship in packages.

A passage is a paragraph of an encyclopaedia, a newspaper or a review. Its first sentence is the context, and
the tokens of the rest are what is predicted, but for the first, which may be another token at the beginning
of a text. So every strategy can be measured that acts on a context.
"""

from collections import Counter
from functools import cache
from itertools import islice, zip_longest

import numpy as np
import pandas as pd
import sentencex
import torch
from statsmodels.stats.weightstats import DescrStatsW

from lib.corpora import packaged_text, wet
from lib.generation import plans
from lib.interventions.base import Intervened
from lib.models.huggingface import HuggingFaceModel, map_threads

WORDS = (30, 90)  # of a passage
PER_SOURCE = 16  # passages of each of the four kinds of text, of different pages
TO_CHOOSE_BY = 2  # more of each, for choosing a layer
SEED = 20251118  # of these draws


def passages() -> pd.DataFrame:
    """Draw the passages that costs are measured by.

    Returns:
        One row per passage: source (wiki, nyt, amazon, movie), url, first (sentence), rest, from pages drawn
        at random, one passage a page.
    """
    return _drawn(PER_SOURCE, SEED)


def passages_to_choose_by() -> pd.DataFrame:
    """Draw a few passages of other pages, by which a layer is chosen; columns as of `passages`."""
    return _drawn(TO_CHOOSE_BY, SEED + 1, frozenset(passages()["url"]))


@cache
def _drawn(count: int, seed: int, avoided: frozenset[str] = frozenset()) -> pd.DataFrame:
    """Draw so many passages of each kind of text, none of the pages with these addresses."""
    rng = np.random.default_rng(seed)
    rows = []
    for path in packaged_text.wet_files():
        source = path.name.partition(".")[0]
        pages = [page for page in wet.pages(path, Counter()) if page.url not in avoided]
        drawn = (
            (pages[index].url, _passage(pages[index].text, rng)) for index in rng.permutation(len(pages))
        )
        whole = ((url, passage) for url, passage in drawn if passage)
        rows += [(source, url, *passage) for url, passage in islice(whole, count)]
    return pd.DataFrame(rows, columns=["source", "url", "first", "rest"])


@cache
def other_texts(count: int, seed: int = SEED) -> tuple[str, ...]:
    """Draw ordinary texts from pages that have no passage, an equal number of each kind of text.

    Args:
        count: Number of texts.
        seed: Seed of the draw.

    Returns:
        Paragraphs, the kinds in turns.
    """
    rng, used = np.random.default_rng(seed), set(passages()["url"])
    by_source = []
    for path in packaged_text.wet_files():
        pages = [page for page in wet.pages(path, Counter()) if page.url not in used]
        drawn = (_passage(pages[index].text, rng) for index in rng.permutation(len(pages)))
        by_source.append([" ".join(text) for text in islice(filter(None, drawn), -(-count // 4))])
    return tuple(islice((text for turn in zip_longest(*by_source) for text in turn if text), count))


def _passage(text: str, rng: np.random.Generator) -> tuple[str, str] | None:
    """A paragraph of at least three sentences as first sentence and rest; None if the page has none."""
    lines = text.split("\n")
    windows = [" ".join(lines[start : start + 3]) for start in range(max(1, len(lines) - 2))]
    candidates = [line for line in [*lines, *windows] if WORDS[0] <= len(line.split()) <= WORDS[1]]
    for index in rng.permutation(len(candidates)):
        sentences = [sentence.strip() for sentence in sentencex.segment("en", candidates[index])]
        if len(sentences) >= 3 and all(sentences):
            return sentences[0], " ".join(sentences[1:])
    return None


def measure(model: HuggingFaceModel | Intervened, texts: pd.DataFrame, mitigation: str = "") -> pd.DataFrame:
    """Measure how well a model predicts the rest of each passage after its first sentence.

    In chat mode with assistant_prefill the question holds the rest too, as it holds a stem: what is measured
    is then how well the model copies it, which says little of its grasp of ordinary text.

    Args:
        model: The backend, with or without an intervention.
        texts: Passages, with the columns first and rest.
        mitigation: Text of a mitigation in the prompt.

    Returns:
        `texts` with tokens (that are predicted) and nats (mean negative log-probability of one of them; NaN
        where the prompt does not end in the rest, as in chat mode without assistant_prefill, or where the
        tokens of prompt and reference differ).
    """
    model.weights  # noqa: B018  load before the threads start
    results = map_threads(
        lambda row: _one(model, row.first, row.rest, mitigation), list(texts.itertuples()), plans.usual(model)
    )
    return texts.assign(
        tokens=[count for count, _ in results], nats=np.array([nats for _, nats in results], float)
    )


def _one(model, first: str, rest: str, mitigation: str) -> tuple[int, float]:
    own = _tail_ids(model, model.render(first, rest, mitigation), rest)
    if own is None:
        return 0, np.nan
    ids, count = own
    intervention = model.intervention if isinstance(model, Intervened) else None
    pair = intervention.reference(first, rest) if intervention else None
    logits = _logits(model, ids, count)
    if intervention and intervention.changes_logits:
        reference = None
        if pair:
            other = _tail_ids(model, model.render(*pair, mitigation), rest)
            if other is None or other[0][-other[1] :] != ids[-count:]:
                return count, np.nan
            reference = _logits(model, *other)
        logits = intervention.logits(logits, reference)
    targets = torch.tensor(ids[-count:], device=logits.device)
    return count, float(torch.nn.functional.cross_entropy(logits.double(), targets))


def _tail_ids(model, rendered: str, rest: str) -> tuple[list[int], int] | None:
    """Tokens of a rendered prompt, and how many of them count; None if it does not end in the rest."""
    if not rendered.endswith(rest):
        return None
    read = model.tokenizer(
        rendered, add_special_tokens=model.spec.mode == "completion", return_offsets_mapping=True
    )
    start = len(rendered) - len(rest)
    return read.input_ids, sum(end > start and end > begin for begin, end in read.offset_mapping) - 1


def _logits(model, ids: list[int], count: int) -> torch.Tensor:
    """The logits before each of the last `count` tokens (count, vocabulary)."""
    weights = model.weights
    with torch.inference_mode():
        tokens = torch.tensor([ids], device=weights.device)
        return weights(input_ids=tokens, logits_to_keep=count + 1).logits[0, :-1].float()


def ratio(changed: pd.DataFrame, plain: pd.DataFrame, confidence: float) -> dict[str, float]:
    """Compare the perplexity of the same passages under an intervention and without.

    Args:
        changed: A table of `measure`.
        plain: The table of the untouched model.
        confidence: Level of the interval, between 0 and 1.

    Returns:
        perplexity (ratio; geometric mean over passages), perplexity_low, perplexity_high (Student's t over
        passages, each of another page), passages (those measured in both).
    """
    difference = (changed["nats"] - plain["nats"]).dropna()
    if len(difference) < 2:
        return {"perplexity": np.nan, "perplexity_low": np.nan, "perplexity_high": np.nan, "passages": 0}
    of = DescrStatsW(difference)
    low, high = of.tconfint_mean(1 - confidence)
    return {
        "perplexity": float(np.exp(of.mean)),
        "perplexity_low": float(np.exp(low)),
        "perplexity_high": float(np.exp(high)),
        "passages": len(difference),
    }
