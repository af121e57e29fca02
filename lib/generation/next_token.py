"""How charged the model's very next token is, exactly and without sampling, from one forward pass a prompt:
that of generation, where it reads the same prompt.

How a lexicon of words meets sub-word tokens: a token counts if it begins a word (after a space, or where the
prompt ends in white space) and what it spells is, whole and case ignored, an entry of VADER's lexicon; it
then has that entry's valence, and every other token has 0. So charge that is spread over several tokens
("heart" + "broken") is missed, and a token that goes on to a longer word ("sad" + "dle") is counted.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd

from lib.models import huggingface
from lib.nlp import vader
from lib.runtime import progress
from lib.storage.records import Journal, journal_keys

VERSION = "vader-first-token-1"  # part of every key: change it with the rule or the lexicon
MEASURES = ("expected_valence", "negative_mass", "positive_mass")
COLUMNS = ["model", "prompt_id", "group_id", "stem_id", "arm", "slot", *MEASURES]
_PROMPTS = 32  # read side by side by each worker
_WORD_MARKS = ("Ġ", "▁")  # how byte-level and SentencePiece vocabularies write the space before a word


def token_valences(tokenizer, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Lexicon valence (−4 … +4, 0 if it has none) of each of `size` token ids: after a space, and where a
    word needs none."""
    lexicon = vader.lexicon()
    marked, bare = np.zeros(size), np.zeros(size)
    for token, number in tokenizer.get_vocab().items():
        word = token.lstrip("".join(_WORD_MARKS)).casefold()
        if word in lexicon and number < size:
            (marked if token.startswith(_WORD_MARKS) else bare)[number] = lexicon[word]
    return marked, bare


def coverage(tokenizer) -> float:
    """% of the lexicon's entries that are a single token after a space."""
    return 100.0 * np.count_nonzero(token_valences(tokenizer, len(tokenizer))[0]) / len(vader.lexicon())


class Recorder:
    """Keeps what a model makes of the prompts that generation reads anyway (`runner.generate`), so that
    `measure` need not read them again: the unmitigated `prompts` that the journal lacks.

    The same distribution as of a pass of its own, to within what floating point leaves open when other
    prompts are read beside.
    """

    def __init__(self, prompts: pd.DataFrame, model, journal_path: Path):
        requested, self._path = _owed(prompts, model), journal_path
        kept = journal_keys(journal_path)
        self._keys = {row.rendered: row.key for row in requested.itertuples() if row.key not in kept}
        self._model, self._records, self._valences = model, [], None

    def __call__(self, rendered: list[str], logits) -> None:
        """Take note of the logits after each of `rendered`, shape (prompts, vocabulary); from several threads
        at once."""
        places = [place for place, prompt in enumerate(rendered) if prompt in self._keys]
        if places:
            if self._valences is None:
                self._valences = token_valences(self._model.tokenizer, logits.shape[-1])
            keys = [self._keys[rendered[place]] for place in places]
            self._records += _measures(
                keys, [rendered[place] for place in places], logits[places], self._valences
            )

    def save(self) -> None:
        """Write to the journal what was noted since the last time."""
        records = {record["key"]: record for record in self._records}
        if records:
            with Journal(self._path) as journal:
                journal.append(list(records.values()))
        self._keys = {prompt: key for prompt, key in self._keys.items() if key not in records}
        self._records = []


def recorder(prompts: pd.DataFrame, model, journal_path: Path) -> Recorder | None:
    """A Recorder, None for a backend that shows no probabilities."""
    return Recorder(prompts, model, journal_path) if model.is_local else None


def measure(prompts: pd.DataFrame, model, journal_path: Path) -> pd.DataFrame:
    """The table COLUMNS for the unmitigated `prompts`: expected_valence in points of the human scale, the
    masses in %.

    The distribution is the model's own (temperature 1). Empty for a backend that shows no probabilities. What
    the journal holds is not computed again.
    """
    if not model.is_local:
        return pd.DataFrame(columns=COLUMNS)
    asked = _owed(prompts, model)
    with Journal(journal_path) as journal:
        requested = asked.drop_duplicates("key")
        missing = requested[~requested["key"].isin(journal.keys())]
        if len(missing):
            _compute(
                missing.iloc[missing["rendered"].str.len().argsort(kind="stable")],
                len(requested),
                model,
                journal,
            )
        found = journal.read(list(MEASURES))
    return asked.join(found, on="key")[COLUMNS].reset_index(drop=True)


def _owed(prompts: pd.DataFrame, model) -> pd.DataFrame:
    """`prompts` with model, rendered and key."""
    rendered = [model.render(row.context, row.stem, "") for row in prompts.itertuples()]
    depends_on = [VERSION, model.fingerprint, model.spec.mode]
    keys = [hashlib.sha256(json.dumps([*depends_on, prompt]).encode()).hexdigest() for prompt in rendered]
    return prompts.assign(model=model.spec.name, rendered=rendered, key=keys)


def _compute(missing: pd.DataFrame, total: int, model, journal: Journal) -> None:
    size = model.weights.get_output_embeddings().weight.shape[0]
    valences = token_valences(model.tokenizer, size)
    with progress.bar(total, "next token", "prompts", total - len(missing)) as bar:
        for start in range(0, len(missing), model.workers * _PROMPTS):
            batch = missing.iloc[start : start + model.workers * _PROMPTS]
            parts = [batch.iloc[first : first + _PROMPTS] for first in range(0, len(batch), _PROMPTS)]
            found = huggingface.map_threads(model, lambda part: _read(part, model, valences), parts)
            journal.append([record for part in found for record in part])
            bar.update(len(batch))


def _read(part: pd.DataFrame, model, valences: tuple[np.ndarray, np.ndarray]) -> list[dict]:
    return _measures(part["key"], part["rendered"], model.next_logits(part["rendered"].tolist()), valences)


def _measures(keys, rendered, logits, valences: tuple[np.ndarray, np.ndarray]) -> list[dict]:
    """A record for each prompt: its key and MEASURES."""
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
