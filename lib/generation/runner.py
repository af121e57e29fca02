"""Which completions are owed, which are at hand, and paying for the missing ones.

A completion is reused only under a key over everything that could change it, so nothing stale is taken for
fresh.
"""

import hashlib
import json
import math
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from lib.config import draws, mitigation_texts
from lib.config.sections import Generation
from lib.config.specs import NO_MITIGATION
from lib.generation import throughput
from lib.models import sampling
from lib.nlp import sentences
from lib.replies import outcomes
from lib.runtime import progress
from lib.storage.records import Journal

_ASKED = (
    "require_word",
    "thought_markers",
    "thinking_tokens",
)  # of a model: how its replies are drawn and read
SETTLED = ["completion", "outcome", "note", "tokens", "ended"]
_KEYED = [
    "rendered",
    "context",
    "stem",
    "group_id",
    "sample_index",
]  # of a row; the cut looks at context and stem
COMPLETION_COLUMNS = ["prompt_id", "group_id", "stem_id", "arm", "mitigation", "wording", "sample_index"]


def requests(prompts: pd.DataFrame, parameters: Generation, model) -> pd.DataFrame:
    """One row for each completion owed: COMPLETION_COLUMNS, context, stem, mitigation_text, rendered (the
    prompt as the model sees it), key.

    Unmitigated prompts of an arm are asked as often as `samples` say; under each mitigation, those of
    MITIGATED_ARMS as `mitigation_samples` say (lib/config/draws.py). Draw k of a prompt is the same whatever
    other arms and draws are asked for. wording: which of the mitigation's texts a group is asked in, from 1
    on (`lib.config.mitigation_texts`); 0 without a mitigation.
    """
    asked = [_ask(prompts, NO_MITIGATION, [], parameters.samples, model)]
    for name, value in parameters.mitigations.items():
        asked.append(_ask(prompts, name, mitigation_texts.texts(value), parameters.mitigation_samples, model))
    return keyed(pd.concat(asked, ignore_index=True), parameters, model)


def keyed(requested: pd.DataFrame, parameters: Generation, model) -> pd.DataFrame:
    """`requested` with the column key: a hash of everything that could change what `model` writes there."""
    return requested.assign(
        key=[_key(row, parameters, model) for row in requested[_KEYED].itertuples(index=False)]
    )


def _ask(
    prompts: pd.DataFrame, mitigation: str, texts: list[str], samples: draws.Samples, model
) -> pd.DataFrame:
    asked = prompts[["prompt_id", "group_id", "stem_id", "arm", "context", "stem"]].reset_index(drop=True)
    times = draws.asked(asked["arm"], samples, mitigation)
    asked = asked[times > 0].copy()
    asked["mitigation"] = mitigation
    asked["wording"] = [
        mitigation_texts.of_group(mitigation, group, len(texts)) if texts else 0
        for group in asked["group_id"]
    ]
    asked["mitigation_text"] = [texts[number - 1] if texts else "" for number in asked["wording"]]
    asked["rendered"] = [
        model.render(row.context, row.stem, row.mitigation_text) for row in asked.itertuples()
    ]
    asked = asked.astype(object)  # the samples of a prompt then share its texts in memory
    rows = asked.loc[asked.index.repeat(times[asked.index])].astype({"wording": int})
    return rows.assign(sample_index=rows.groupby(level=0).cumcount()).reset_index(drop=True)


def _key(row, parameters: Generation, model) -> str:
    depends_on = {
        "model": model.fingerprint,
        "mode": parameters.model.mode,
        "sampler": sampling.VERSION,
        "cut": sentences.VERSION,
        "outcome": outcomes.VERSION,
        "seed": parameters.seed,
        "temperature": parameters.sampled_at,
        "max_new_tokens": parameters.max_new_tokens,
        **{name: getattr(parameters.model, name) for name in _ASKED},
        **row._asdict(),
    }
    return hashlib.sha256(json.dumps(depends_on, sort_keys=True).encode()).hexdigest()


def generate(
    requested: pd.DataFrame,
    parameters: Generation,
    model,
    journal_path: Path,
    first_step=None,
    bar: progress.Bar | None = None,
) -> pd.DataFrame:
    """`requested` with the columns SETTLED (see `lib.replies.outcomes`); only what the journal lacks is asked
    of the model.

    Finished batches are appended to the journal, durably, so a run that is killed goes on where it was.
    `first_step`, a `next_token.Recorder`, is shown what the model makes of each prompt that it reads. `bar`
    counts what is made, for who asks several times; None opens one.
    """
    with Journal(journal_path) as journal:
        pending = missing(requested, journal.keys(SETTLED))
        if len(pending):
            _generate_missing(pending, len(requested), parameters, model, journal, first_step, bar)
        found = journal.read(SETTLED)
    return requested.assign(**found.loc[requested["key"]].reset_index(drop=True).set_axis(requested.index))


def _batches(pending: pd.DataFrame, batch_size: int) -> list[pd.DataFrame]:
    """Batches of equal size, at most `batch_size`; a small last one costs as many steps as any."""
    size = math.ceil(len(pending) / math.ceil(len(pending) / batch_size))
    return [pending.iloc[start : start + size] for start in range(0, len(pending), size)]


def missing(requested: pd.DataFrame, keys: set[str]) -> pd.DataFrame:
    """The rows of `requested` whose key is not among `keys`, each key once, in the order that costs least."""
    return side_by_side(requested[~requested["key"].isin(keys)].drop_duplicates("key"))


def _generate_missing(
    pending: pd.DataFrame, total: int, parameters: Generation, model, journal: Journal, first_step, shown
) -> None:
    pace = throughput.pace(model, pending, parameters)
    model.workers, model.threads = pace.workers, pace.threads
    batches = _batches(pending, pace.batch_size)
    seconds = [throughput.expected(pace, model, batch, parameters) for batch in batches]
    costs = (seconds, True) if all(seconds) else ([len(batch) for batch in batches], False)
    own = progress.bar(total, parameters.model.name, "completions", total - len(pending), *costs)
    with nullcontext(shown) if shown else own as bar:
        for batch in batches:
            journal.append(_complete(batch, parameters, model, bar.update, first_step))
            bar.step(len(batch))


def side_by_side(requests: pd.DataFrame) -> pd.DataFrame:
    """`requests` in the order that costs least.

    One wording of a mitigation after the other, for its prompts begin alike; within it groups by length, for
    a batch is as slow as its longest; within a group the arms beside each other, for they share their noise.
    """
    length = (
        requests["rendered"]
        .str.len()
        .groupby([requests["mitigation"], requests["group_id"]])
        .transform("max")
    )
    order = requests.assign(length=length).sort_values(
        ["mitigation", "mitigation_text", "length", "group_id", "sample_index", "arm"]
    )
    return order.drop(columns="length")


def _complete(batch: pd.DataFrame, parameters: Generation, model, progress, first_step) -> list[dict]:
    asked = (parameters.sampled_at, parameters.max_new_tokens, parameters.seed, progress)
    if first_step:
        replies = model.reply(batch, *asked, first_step)
        first_step.save()
    else:
        replies = model.reply(batch, *asked)
    markers, records = tuple(parameters.model.thought_markers), []
    # one template: all of its prompts open a thought, or none
    thinking = model.opens_thought(batch["rendered"].iloc[0])
    for row, reply in zip(batch.itertuples(), replies, strict=True):
        told = (row.context, row.stem, row.mitigation_text, markers, thinking)
        records.append(
            {
                "key": row.key,
                **asdict(outcomes.settle(reply, *told)),
                "tokens": reply.tokens,
                "ended": reply.ended,
            }
        )
    return records


def completions_table(paid: pd.DataFrame, parameters: Generation, model) -> pd.DataFrame:
    """The table a run keeps: COMPLETION_COLUMNS, SETTLED, model, family, tuning, mode, parameters."""
    spec = parameters.model
    table = paid[[*COMPLETION_COLUMNS, *SETTLED]].copy()
    table.insert(0, "model", spec.name)
    return table.assign(
        family=spec.family,
        tuning=spec.tuning,
        mode=spec.mode,
        parameters=pd.array([model.parameters] * len(table), "Int64"),
    )


def usability(completions: pd.DataFrame) -> pd.DataFrame:
    """By arm: completions, mean tokens, % that ended before the token limit, % distinct among those that can
    be judged."""
    usable = completions[completions["outcome"].isin(outcomes.USABLE)]
    arms = completions.assign(ended=100.0 * completions["ended"]).groupby("arm", sort=False)
    table = arms.agg(completions=("outcome", "size"), tokens=("tokens", "mean"), ended=("ended", "mean"))
    distinct = usable.groupby("arm", sort=False)["completion"].agg(
        lambda texts: 100.0 * texts.nunique() / len(texts)
    )
    return table.assign(distinct=distinct).rename(columns={"ended": "ended, %", "distinct": "distinct, %"})


def identical_rate(completions: pd.DataFrame) -> pd.Series:
    """% of unmitigated completions of each arm that equal the neutral arm's completion with the same noise,
    where neither is missing."""
    plain = completions[completions["mitigation"] == NO_MITIGATION]
    wide = plain.pivot(index=["group_id", "sample_index"], columns="arm", values="completion").dropna(
        subset="neutral"
    )
    return 100.0 * wide.eq(wide["neutral"], axis=0).where(wide.notna()).mean()
