"""What an intervention costs on ordinary text: the perplexity of passages that ship in packages.

A passage is a paragraph of an encyclopaedia, a newspaper or a review. Its first sentence is the context, its
second the stem, and the tokens of the rest are predicted. So every strategy is measured on the kind of prompt
that it acts on, and no prompt holds what is predicted.
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
        One row per passage: source (wiki, nyt, amazon, movie), url, context (its first sentence), stem (its
        second), rest, from pages drawn at random, one passage a page.
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
    return pd.DataFrame(rows, columns=["source", "url", "context", "stem", "rest"])


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


def _passage(text: str, rng: np.random.Generator) -> tuple[str, str, str] | None:
    """A paragraph as first sentence, second sentence and rest; None if no paragraph of the page has three."""
    lines = text.split("\n")
    windows = [" ".join(lines[start : start + 3]) for start in range(max(1, len(lines) - 2))]
    candidates = [line for line in [*lines, *windows] if WORDS[0] <= len(line.split()) <= WORDS[1]]
    for index in rng.permutation(len(candidates)):
        sentences = [sentence.strip() for sentence in sentencex.segment("en", candidates[index])]
        if len(sentences) >= 3 and all(sentences):
            return sentences[0], sentences[1], " ".join(sentences[2:])
    return None


def measure(model: HuggingFaceModel | Intervened, texts: pd.DataFrame, mitigation: str = "") -> pd.DataFrame:
    """Measure how well a model predicts the rest of each passage after its first two sentences.

    Args:
        model: The backend, with or without an intervention.
        texts: Passages, with the columns context, stem and rest.
        mitigation: Text of a mitigation in the prompt.

    Returns:
        `texts` with tokens (that are predicted) and nats (mean negative log-probability of one of them; NaN
        where the reply would begin within a thought, or where prompt and reference end in other tokens).
    """
    asked = model.intervention.prompts(model.model, texts) if isinstance(model, Intervened) else texts
    model.weights  # noqa: B018  load before the threads start
    results = map_threads(
        lambda row: _one(model, row.context, row.stem, row.rest, mitigation),
        list(asked.itertuples()),
        plans.usual(model),
    )
    return texts.assign(
        tokens=[count for count, _ in results], nats=np.array([nats for _, nats in results], float)
    )


def _one(model, context: str, stem: str, rest: str, mitigation: str) -> tuple[int, float]:
    rendered = model.render(context, stem, mitigation)
    ids, count = _continued_ids(model, rendered, rest)
    if model.opens_thought(rendered):
        return count, np.nan
    intervention = model.intervention if isinstance(model, Intervened) else None
    pair = intervention.reference(context, stem) if intervention else None
    logits = _logits(model, ids, count)
    if intervention and intervention.changes_logits:
        reference = None
        if pair:
            other, other_count = _continued_ids(model, model.render(*pair, mitigation), rest)
            if other[-other_count:] != ids[-count:]:
                return count, np.nan
            reference = _logits(model, other, count)
        logits = intervention.logits(logits, reference)
    targets = torch.tensor(ids[-count:], device=logits.device)
    return count, float(torch.nn.functional.cross_entropy(logits.double(), targets))


def _continued_ids(model, rendered: str, rest: str) -> tuple[list[int], int]:
    """Tokens of a rendered prompt with the rest behind it, and how many of them are the rest's."""
    text = f"{rendered}{'' if rendered[-1:].isspace() else ' '}{rest}"
    read = model.tokenizer(
        text, add_special_tokens=model.spec.mode == "completion", return_offsets_mapping=True
    )
    return read.input_ids, sum(end > max(begin, len(rendered)) for begin, end in read.offset_mapping)


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
