"""Augmentation of the ladder's text: unrelated sentences are inserted where a sentence begins.

Köprü et al. (2025, arXiv 2508.01708) expect the remedy against expression leakage in how a model is built.
The family `ladder-augmented` tries one such way in miniature. Its models differ from those of the ladder
(lib/models/ladder.py) in this alone: sentences in the style of the benchmark's contexts stand in the text, a
third of them negative, a third positive and a third neutral, and the text after them goes on as if they were
not there. So nothing is taught but that the two are independent: neither to avoid feelings nor to expect
them. The sentences come from the half of the benchmark that interventions may be found on
(lib/dataset/halves.py); only the other half can evaluate these models.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

import numpy as np
import pandas as pd
import sentencex

from lib.dataset import curated_prompts, halves
from lib.models.ladder_training import PADDING, Recipe

# change it with any change here that changes a weight; `AugmentedRecipe.contexts` is part of the key anyway
VERSION = "augmentation-1"
PRONOUNS = ("he", "she", "they")
# templates of a match in the deck that is dealt from: a third of each sentiment
_COPIES = {"negative": 2, "positive": 2, "neutral": 1, "neutral2": 1}
_STREAM = 1  # random numbers other than those that hold documents out
_INSERTED = -1


def found_contexts() -> tuple[str, ...]:
    """The context templates of the benchmark's half `found`, main part.

    A match has its negative and its positive template in it twice, and its two neutral ones once.
    """
    contexts = halves.half(curated_prompts.shipped(), "found").contexts
    return tuple(contexts["text"].repeat(contexts["arm"].map(_COPIES)))


@dataclass(frozen=True)
class AugmentedRecipe(Recipe):
    """The ladder's recipe with inserted sentences, chosen so that a size and its sibling can be compared.

    Tokenizer, held-out text, first weights, number of steps, learning rates, and the original text of every
    step are those of the sibling: its blocks of `block` tokens are cut first, and a block grows by what is
    inserted into it. So both see all original text once, in the same order. The augmented model is trained
    on more tokens in as many steps; equally many tokens would have cost it a tenth of the text, and blocks
    cut after the insertion would have given it more steps and another order. The loss of an inserted token
    counts like that of any other.
    """

    family: ClassVar[str] = "ladder-augmented"
    inserted: float = 0.1  # share of all tokens trained on
    contexts: tuple[str, ...] = field(default_factory=found_contexts)  # a deck of templates


class Insertion(NamedTuple):
    """A sentence and the place before which it is inserted, followed by a space.

    Attributes:
        document: Number of the document.
        position: Number of the character of its original text.
        sentence: The rendered template.
    """

    document: int
    position: int
    sentence: str


def boundaries(text: str) -> list[int]:
    """The positions at which a sentence of a text begins, its own beginning included.

    A line begins a sentence, unless it goes on in lower case.
    """
    starts, line_start = [], 0
    for line in text.split("\n"):
        for sentence in sentencex.get_sentence_boundaries("en", line):
            blank = len(sentence["text"]) - len(sentence["text"].lstrip())
            start = line_start + sentence["start_index"] + blank
            goes_on = start == line_start > 0 and text[start].islower()
            if sentence["text"].strip() and not goes_on and (start == 0 or text[start - 1].isspace()):
                starts.append(start)
        line_start += len(line) + 1
    return starts


def insertions(texts: list[str], tokenizer, recipe: AugmentedRecipe) -> list[Insertion]:
    """Decide what is inserted where: `recipe.inserted` of all tokens, at boundaries chosen at random.

    Args:
        texts: The documents to train on.
        tokenizer: Their tokenizer.
        recipe: The recipe; its seed decides.

    Returns:
        The insertions, ordered by document and position; at most one at a boundary.

    Raises:
        ValueError: If the documents have too few boundaries.
    """
    rng = np.random.default_rng((recipe.seed, _STREAM))
    places = [(number, start) for number, text in enumerate(texts) for start in boundaries(text)]
    sentences = _deal(recipe.contexts, len(places), rng)
    lengths = [
        len(ids) for ids in tokenizer([f" {each}" for each in sentences], add_special_tokens=False).input_ids
    ]
    original = sum(len(ids) + 1 for ids in tokenizer(texts).input_ids)
    wanted = original * recipe.inserted / (1 - recipe.inserted)
    count = int(np.searchsorted(np.cumsum(lengths), wanted)) + 1
    chosen = rng.choice(len(places), size=count, replace=False)
    pairs = zip(chosen, sentences, strict=False)  # as many sentences as are needed
    return sorted(Insertion(places[place][0], places[place][1], sentence) for place, sentence in pairs)


def _deal(templates: Sequence[str], count: int, rng: np.random.Generator) -> list[str]:
    """`count` sentences from shuffled decks of the templates, each told of a pronoun drawn at random."""
    decks = [rng.permutation(len(templates)) for _ in range(-(-count // len(templates)))]
    pronouns = rng.choice(PRONOUNS, size=count)
    return [
        curated_prompts.tell(templates[card], pronoun.capitalize(), str(pronoun))
        for card, pronoun in zip(np.concatenate(decks)[:count], pronouns, strict=True)
    ]


def insert(text: str, into: Sequence[Insertion]) -> str:
    """A text with its insertions, ordered by position."""
    edges = [0, *(insertion.position for insertion in into), len(text)]
    first, *others = (text[start:end] for start, end in itertools.pairwise(edges))
    added = (f"{insertion.sentence} {piece}" for insertion, piece in zip(into, others, strict=True))
    return "".join([first, *added])


def blocks(tokenizer, texts: list[str], recipe: AugmentedRecipe) -> np.ndarray:
    """The blocks of the sibling, each with what is inserted into it.

    Args:
        tokenizer: The tokenizer of both.
        texts: The documents to train on.
        recipe: The recipe.

    Returns:
        Token ids, shape (blocks, tokens of the longest); PADDING after the end of a shorter one. An inserted
        sentence is in the block of the token that follows it.
    """
    original = stream(tokenizer, texts, [])
    table = stream(tokenizer, texts, insertions(texts, tokenizer, recipe))
    starts = original["position"].to_numpy()[:: recipe.block]
    block = np.searchsorted(starts, table["position"], side="right") - 1
    whole = block < len(original) // recipe.block  # as in the sibling, the incomplete last block is dropped
    ids, block = table["id"].to_numpy()[whole], block[whole]
    sizes = np.bincount(block, minlength=len(original) // recipe.block)
    padded = np.full((len(sizes), sizes.max()), PADDING, dtype=np.int32)
    padded[block, np.arange(len(block)) - (np.cumsum(sizes) - sizes)[block]] = ids
    return padded


def stream(tokenizer, texts: list[str], into: list[Insertion]) -> pd.DataFrame:
    """The tokens of all documents with their insertions, each document from its beginning to its end.

    Returns:
        One row per token: id; position, the place of its last character (for an inserted token, of the token
        that follows) in the original documents joined, in which each has one more place before and after its
        text, for the tokens of its beginning and end; and is_inserted.
    """
    by_document = {
        document: [*group] for document, group in itertools.groupby(into, key=lambda each: each.document)
    }
    augmented = [insert(text, by_document.get(number, [])) for number, text in enumerate(texts)]
    encoded = tokenizer(augmented, return_offsets_mapping=True)
    ids, positions, inserted, offset = [], [], [], 0
    for number, text in enumerate(texts):
        ends = np.array(encoded["offset_mapping"][number][1:], dtype=int).reshape(-1, 2)[:, 1]  # not of BEGIN
        place = _origin(text, by_document.get(number, []))[ends - 1]
        is_inserted = np.array([False, *(place == _INSERTED), False])
        place = np.array([0, *np.where(place == _INSERTED, len(text), place) + 1, len(text) + 1])
        ids += [*encoded["input_ids"][number], tokenizer.eos_token_id]
        positions.append(offset + np.minimum.accumulate(place[::-1])[::-1])
        inserted.append(is_inserted)
        offset += len(text) + 2
    return pd.DataFrame(
        {"id": ids, "position": np.concatenate(positions), "is_inserted": np.concatenate(inserted)}
    )


def _origin(text: str, into: Sequence[Insertion]) -> np.ndarray:
    """The position in `text` of each character of `insert(text, into)`; _INSERTED for an inserted one."""
    lengths = [len(insertion.sentence) + 1 for insertion in into]
    positions = np.repeat([insertion.position for insertion in into], lengths).astype(int)
    return np.insert(np.arange(len(text)), positions, _INSERTED)
