"""Charge of the model's next token: exact, without sampling, from one forward pass per prompt.

Where generation reads the same prompt, its forward pass is used.

A lexicon of words meets sub-word tokens as follows. A token counts if it begins a word (after a space, or
where the prompt ends in white space) and its whole spelling, ignoring case, is an entry of VADER's lexicon.
It then has the valence of that entry; every other token has 0. Charge that is spread over several tokens
("heart" + "broken") is therefore missed, and a token that continues into a longer word ("sad" + "dle") is
counted.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd

from lib.generation import plans
from lib.nlp import vader
from lib.runtime import progress
from lib.storage import shards
from lib.storage.records import Journal, journal_keys

VERSION = "vader-first-token-1"  # part of every key: change it with the rule or the lexicon
MEASURES = ("expected_valence", "negative_mass", "positive_mass")
COLUMNS = ["model", "prompt_id", "group_id", "stem_id", "arm", "slot", *MEASURES]
_PROMPTS = 32  # prompts per forward pass of a worker
_WORD_MARKS = ("Ġ", "▁")  # how byte-level and SentencePiece vocabularies write the space before a word


def token_valences(tokenizer, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the lexicon valence of each token id, −4 … +4, and 0 where it has none.

    Args:
        tokenizer: The tokenizer of the model.
        size: Number of token ids.

    Returns:
        Two arrays, shape (size,): for words after a space, and for words where none is needed.
    """
    lexicon = vader.lexicon()
    marked, bare = np.zeros(size), np.zeros(size)
    for token, number in tokenizer.get_vocab().items():
        word = token.lstrip("".join(_WORD_MARKS)).casefold()
        if word in lexicon and number < size:
            (marked if token.startswith(_WORD_MARKS) else bare)[number] = lexicon[word]
    return marked, bare


def coverage(tokenizer) -> float:
    """Return the % of the lexicon's entries that are a single token after a space."""
    return 100.0 * np.count_nonzero(token_valences(tokenizer, len(tokenizer))[0]) / len(vader.lexicon())


class Recorder:
    """Records the next-token measures of prompts that generation reads anyway (`runner.generate`).

    `measure` then need not read them again. Recorded are those of the unmitigated `prompts` that the journal
    lacks. The distribution equals that of a separate pass, up to the floating-point differences that other
    prompts in the batch cause.
    """

    def __init__(self, prompts: pd.DataFrame, model, journal_path: Path):
        requested, self._path = _owed(prompts, model), journal_path
        cached = journal_keys(journal_path, among=requested["key"])
        self._keys = {row.rendered: row.key for row in requested.itertuples() if row.key not in cached}
        self._model = model
        self._records: list[dict] = []
        self._valences: tuple[np.ndarray, np.ndarray] | None = None

    def __call__(self, rendered: list[str], logits) -> None:
        """Record the measures of `rendered` prompts; may be called from several threads at once.

        Args:
            rendered: Prompts as the model sees them.
            logits: The logits after each prompt, shape (prompts, vocabulary).
        """
        indices = [index for index, prompt in enumerate(rendered) if prompt in self._keys]
        if indices:
            if self._valences is None:
                self._valences = token_valences(self._model.tokenizer, logits.shape[-1])
            keys = [self._keys[rendered[index]] for index in indices]
            self._records += measures(
                keys, [rendered[index] for index in indices], logits[indices], self._valences
            )

    def save(self) -> None:
        """Write the measures recorded since the last call to the journal."""
        records = {record["key"]: record for record in self._records}
        if records:
            with Journal(self._path) as journal:
                journal.append(list(records.values()))
        self._keys = {prompt: key for prompt, key in self._keys.items() if key not in records}
        self._records = []


def recorder(prompts: pd.DataFrame, model, journal_path: Path) -> Recorder | None:
    """Return a Recorder; None for a backend that does not give probabilities."""
    return Recorder(prompts, model, journal_path) if model.is_local else None


def recorded(prompts: pd.DataFrame, model, journal_path: Path) -> pd.DataFrame:
    """Read the next-token measures of `prompts` that the journal holds; no weights are loaded.

    Returns:
        The table of `measure`, without the prompts that the journal lacks.
    """
    if not model.is_local:
        return pd.DataFrame(columns=COLUMNS)
    requested = _owed(prompts, model)
    measures = Journal(journal_path).read(list(MEASURES), among=requested["key"])
    return requested.join(measures, on="key", how="inner")[COLUMNS].reset_index(drop=True)


def measure(prompts: pd.DataFrame, model, journal_path: Path) -> pd.DataFrame:
    """Measure the next token of the unmitigated `prompts`.

    The distribution is the model's own (temperature 1). What the journal holds is not computed again.

    Returns:
        The table COLUMNS: expected_valence in points of the human scale, the masses in %. Empty for a backend
        that does not give probabilities.
    """
    if not model.is_local:
        return pd.DataFrame(columns=COLUMNS)
    keyed = _owed(prompts, model)
    with Journal(journal_path) as journal:
        shards.gather(journal, list(MEASURES))
        requested = keyed.drop_duplicates("key")
        missing = requested[~requested["key"].isin(journal.keys())]
        if len(missing):
            _compute(
                missing.iloc[missing["rendered"].str.len().argsort(kind="stable")],
                len(requested),
                model,
                journal,
            )
        measures = journal.read(list(MEASURES))
    return keyed.join(measures, on="key")[COLUMNS].reset_index(drop=True)


def _owed(prompts: pd.DataFrame, model) -> pd.DataFrame:
    """Return `prompts` with the columns model, rendered and key."""
    rendered = [model.render(row.context, row.stem, "") for row in prompts.itertuples()]
    depends_on = [VERSION, model.fingerprint, model.spec.mode]
    keys = [hashlib.sha256(json.dumps([*depends_on, prompt]).encode()).hexdigest() for prompt in rendered]
    return prompts.assign(model=model.spec.name, rendered=rendered, key=keys)


def _compute(missing: pd.DataFrame, total: int, model, journal: Journal) -> None:
    from lib.models import huggingface

    size = model.weights.get_output_embeddings().weight.shape[0]
    valences, division = token_valences(model.tokenizer, size), plans.usual(model)
    with progress.bar(total, "next token", "prompts", total - len(missing)) as bar:
        for start in range(0, len(missing), division.workers * _PROMPTS):
            batch = missing.iloc[start : start + division.workers * _PROMPTS]
            parts = [batch.iloc[first : first + _PROMPTS] for first in range(0, len(batch), _PROMPTS)]
            results = huggingface.map_threads(lambda subset: _read(subset, model, valences), parts, division)
            journal.append([record for subset in results for record in subset])
            bar.update(len(batch))


def _read(part: pd.DataFrame, model, valences: tuple[np.ndarray, np.ndarray]) -> list[dict]:
    return measures(part["key"], part["rendered"], model.next_logits(part["rendered"].tolist()), valences)


def measures(keys, rendered, logits, valences: tuple[np.ndarray, np.ndarray]) -> list[dict]:
    """Return a record for each prompt: its key and MEASURES.

    Args:
        keys: A key of each prompt.
        rendered: The prompts as the model sees them.
        logits: The logits after each prompt (prompts, vocabulary).
        valences: What `token_valences` returns.
    """
    marked, bare = valences
    records = []
    for key, prompt, row in zip(keys, rendered, logits, strict=True):
        probability = row.double().softmax(dim=-1).cpu().numpy()
        valence = bare if prompt[-1:].isspace() else marked
        measured = (
            probability @ valence,
            100.0 * probability[valence < 0].sum(),
            100.0 * probability[valence > 0].sum(),
        )
        records.append(
            {
                "key": key,
                **{name: round(float(value), 6) for name, value in zip(MEASURES, measured, strict=True)},
            }
        )
    return records
