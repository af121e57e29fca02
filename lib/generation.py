"""Which completions are owed, which are at hand, and paying for the missing ones.

A completion is reused only under a key over everything that could change it, so nothing stale is taken for fresh.
"""

import hashlib
import json
import math
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from lib import calibration, sampling, sentences
from lib.records import Journal
from lib.sections import Generation
from lib.specs import NO_MITIGATION

MITIGATED_ARMS = ("neutral", "negative", "positive")  # what a mitigation needs to be compared on
_KEYED = ["rendered", "context", "stem", "group_id", "sample_index"]  # of a row; the cut looks at context and stem
COMPLETION_COLUMNS = ["prompt_id", "group_id", "stem_id", "arm", "mitigation", "sample_index"]


def requests(prompts: pd.DataFrame, parameters: Generation, model) -> pd.DataFrame:
    """One row for each completion owed: COMPLETION_COLUMNS, context, stem, rendered (the prompt as the model sees it), key.

    Unmitigated prompts of all arms are asked `samples` times; under each mitigation, those of MITIGATED_ARMS are asked
    `mitigation_samples` times.
    """
    asked = [_ask(prompts, NO_MITIGATION, "", parameters.samples, model)]
    for name, text in parameters.mitigations.items():
        charged = prompts[prompts["arm"].isin(MITIGATED_ARMS)]
        asked.append(_ask(charged, name, text, parameters.mitigation_samples, model))
    return keyed(pd.concat(asked, ignore_index=True), parameters, model)


def keyed(owed: pd.DataFrame, parameters: Generation, model) -> pd.DataFrame:
    """`owed` with the column key: a hash of everything that could change what `model` writes there."""
    return owed.assign(key=[_key(row, parameters, model) for row in owed[_KEYED].itertuples(index=False)])


def _ask(prompts: pd.DataFrame, mitigation: str, text: str, samples: int, model) -> pd.DataFrame:
    asked = prompts[["prompt_id", "group_id", "stem_id", "arm", "context", "stem"]].copy()
    asked["mitigation"] = mitigation
    asked["rendered"] = [model.render(row.context, row.stem, text) for row in asked.itertuples()]
    asked = asked.astype(object)  # the samples of a prompt then share its texts in memory
    return asked.merge(pd.DataFrame({"sample_index": range(samples)}), how="cross")


def _key(row, parameters: Generation, model) -> str:
    depends_on = {
        "model": model.fingerprint,
        "mode": parameters.model.mode,
        "sampler": sampling.VERSION,
        "cut": sentences.VERSION,
        "seed": parameters.seed,
        "temperature": parameters.sampled_at,
        "max_new_tokens": parameters.max_new_tokens,
        **row._asdict(),
    }
    return hashlib.sha256(json.dumps(depends_on, sort_keys=True).encode()).hexdigest()


def generate(owed: pd.DataFrame, parameters: Generation, model, journal_path: Path) -> pd.DataFrame:
    """`owed` with the columns completion, tokens, ended; only what the journal lacks is asked of the model.

    Finished batches are appended to the journal, durably, so a run that is killed goes on where it was.
    """
    with Journal(journal_path) as journal:
        unpaid = missing(owed, journal.keys())
        if len(unpaid):
            _pay(unpaid, len(owed), parameters, model, journal)
        found = journal.read(["completion", "tokens", "ended"])
    return owed.assign(**found.loc[owed["key"]].reset_index(drop=True).set_axis(owed.index))


def _batches(unpaid: pd.DataFrame, batch_size: int) -> Iterator[tuple[int, pd.DataFrame]]:
    """Batches of equal size, at most `batch_size`, and where each starts; a small last one costs as many steps as any."""
    size = math.ceil(len(unpaid) / math.ceil(len(unpaid) / batch_size))
    for start in range(0, len(unpaid), size):
        yield start, unpaid.iloc[start : start + size]


def missing(owed: pd.DataFrame, keys: set[str]) -> pd.DataFrame:
    """The rows of `owed` whose key is not among `keys`, each key once, in the order that costs least."""
    return side_by_side(owed[~owed["key"].isin(keys)].drop_duplicates("key"))


def _pay(unpaid: pd.DataFrame, total: int, parameters: Generation, model, journal: Journal) -> None:
    pace = calibration.pace(model, unpaid, parameters)
    model.workers, model.threads = pace.workers, pace.threads
    with tqdm(total=total, initial=total - len(unpaid), desc=parameters.model.name, unit=" completions") as bar:
        for start, batch in _batches(unpaid, pace.batch_size):
            journal.append(_complete(batch, parameters, model, bar.update))
            bar.n = total - len(unpaid) + start + len(batch)  # exactly: workers may have counted at the same moment


def side_by_side(requests: pd.DataFrame) -> pd.DataFrame:
    """`requests` in the order that costs least.

    One mitigation after the other, for its prompts begin alike; within it groups by length, for a batch is as slow as its
    longest; within a group the arms beside each other, for they share their noise.
    """
    length = requests["rendered"].str.len().groupby([requests["mitigation"], requests["group_id"]]).transform("max")
    order = requests.assign(length=length).sort_values(["mitigation", "length", "group_id", "sample_index", "arm"])
    return order.drop(columns="length")


def _complete(batch: pd.DataFrame, parameters: Generation, model, progress) -> list[dict]:
    replies = model.reply(batch, parameters.sampled_at, parameters.max_new_tokens, parameters.seed, progress)
    return [
        {
            "key": row.key,
            "completion": sentences.completion_of(reply.text, row.context, row.stem),
            "tokens": reply.tokens,
            "ended": reply.ended,
        }
        for row, reply in zip(batch.itertuples(), replies, strict=True)
    ]


def completions_table(paid: pd.DataFrame, parameters: Generation, model) -> pd.DataFrame:
    """The table a run keeps: COMPLETION_COLUMNS, completion, tokens, ended, model, family, tuning, mode, parameters."""
    spec = parameters.model
    table = paid[[*COMPLETION_COLUMNS, "completion", "tokens", "ended"]].copy()
    table.insert(0, "model", spec.name)
    return table.assign(
        family=spec.family, tuning=spec.tuning, mode=spec.mode, parameters=pd.array([model.parameters] * len(table), "Int64")
    )


def usability(completions: pd.DataFrame) -> pd.DataFrame:
    """By arm: completions, mean tokens, % that ended before the token limit, % empty, % distinct."""
    described = completions.assign(
        ended=100.0 * completions["ended"], empty=100.0 * (completions["completion"].str.strip(" .\"'") == "")
    ).groupby("arm", sort=False)
    table = described.agg(completions=("completion", "size"), tokens=("tokens", "mean"), ended=("ended", "mean"),
                          empty=("empty", "mean"), distinct=("completion", "nunique"))  # fmt: skip
    return table.assign(distinct=100.0 * table["distinct"] / table["completions"]).rename(
        columns={"ended": "ended, %", "empty": "empty, %", "distinct": "distinct, %"}
    )


def shared_share(completions: pd.DataFrame) -> pd.Series:
    """% of unmitigated completions of each arm that equal the neutral arm's completion with the same noise."""
    plain = completions[completions["mitigation"] == NO_MITIGATION]
    wide = plain.pivot(index=["group_id", "sample_index"], columns="arm", values="completion")
    return 100.0 * wide.eq(wide["neutral"], axis=0).mean()
