"""Which completions are requested, which exist already, and generating the missing ones.

A completion is reused only under a key over everything that could change it, so it is never stale.
"""

import hashlib
import json
import math
import time
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from lib.config import draws, mitigation_texts
from lib.config.sections import Generation
from lib.config.specs import NO_MITIGATION
from lib.generation import throughput
from lib.models import sampling
from lib.models.base import Division
from lib.nlp import sentences
from lib.replies import outcomes
from lib.runtime import progress
from lib.storage import shards
from lib.storage.records import Journal

# settings of a model that change how its replies are sampled and read
_ASKED = ("require_word", "thought_markers", "thinking_tokens")
# columns of a settled reply, and the types of their values
SETTLED: dict[str, tuple[type, ...]] = {
    "completion": (str, type(None)),
    "outcome": (str,),
    "note": (str,),
    "tokens": (int,),
    "ended": (bool,),
}
# columns of a row that enter its key; the cut after the first sentence uses context and stem
_KEYED = ["rendered", "context", "stem", "group_id", "sample_index"]
COMPLETION_COLUMNS = ["prompt_id", "group_id", "stem_id", "arm", "mitigation", "wording", "sample_index"]


def requests(prompts: pd.DataFrame, parameters: Generation, model) -> pd.DataFrame:
    """Return one row per requested completion.

    Unmitigated prompts of an arm are requested as often as `samples` says; under each mitigation, those of
    MITIGATED_ARMS as often as `mitigation_samples` says (lib/config/draws.py). Draw k of a prompt is the same
    whatever other arms and draws are requested.

    Returns:
        COMPLETION_COLUMNS, context, stem, mitigation_text, rendered (the prompt as the model sees it), key.
        wording is the number, from 1, of the mitigation's text that a group gets
        (`lib.config.mitigation_texts`); 0 without a mitigation.
    """
    tables = [_ask(prompts, NO_MITIGATION, [], parameters.samples, model)]
    for name, value in parameters.mitigations.items():
        tables.append(
            _ask(prompts, name, mitigation_texts.texts(value), parameters.mitigation_samples, model)
        )
    return keyed(pd.concat(tables, ignore_index=True), parameters, model)


def keyed(requested: pd.DataFrame, parameters: Generation, model) -> pd.DataFrame:
    """Return `requested` with the column key: a hash of all that could change the completion of `model`."""
    return requested.assign(
        key=[_key(row, parameters, model) for row in requested[_KEYED].itertuples(index=False)]
    )


def _ask(
    prompts: pd.DataFrame, mitigation: str, texts: list[str], samples: draws.Samples, model
) -> pd.DataFrame:
    requested = prompts[["prompt_id", "group_id", "stem_id", "arm", "context", "stem"]].reset_index(drop=True)
    counts = draws.requested(requested["arm"], samples, mitigation)
    requested = requested[counts > 0].copy()
    requested["mitigation"] = mitigation
    requested["wording"] = [
        mitigation_texts.of_group(mitigation, group, len(texts)) if texts else 0
        for group in requested["group_id"]
    ]
    of_row = [texts[number - 1] if texts else "" for number in requested["wording"]]
    requested["mitigation_text"] = list(map(mitigation_texts.words, of_row))
    requested["rendered"] = [
        model.render(row.context, row.stem, text)
        for row, text in zip(requested.itertuples(), of_row, strict=True)
    ]
    requested = requested.astype(object)  # so the samples of a prompt share its texts in memory
    rows = requested.loc[requested.index.repeat(counts[requested.index])].astype({"wording": int})
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
    """Generate the completions that the journal lacks and return all of them.

    Finished batches are appended to the journal durably, so a run that was killed continues where it stopped.

    Args:
        requested: The table of `requests`, or another one with the column key.
        parameters: The generation section of the parameter set.
        model: The backend.
        journal_path: The journal of the completions.
        first_step: A `next_token.Recorder`, which gets the logits after each prompt that the model reads.
        bar: A progress bar that several calls share; None opens a new one.

    Returns:
        `requested` with the columns SETTLED (see `lib.replies.outcomes`).
    """
    with Journal(journal_path) as journal:
        shards.gather(journal, SETTLED)
        pending = missing(requested, journal.keys(SETTLED, among=requested["key"]))
        if len(pending):
            _generate_missing(pending, len(requested), parameters, model, journal, first_step, bar)
        completed = journal.read(SETTLED, among=requested["key"])
    return requested.assign(
        **completed.loc[requested["key"]].reset_index(drop=True).set_axis(requested.index)
    )


def _batches(pending: pd.DataFrame, batch_size: int) -> list[pd.DataFrame]:
    """Split into batches of equal size, at most `batch_size`; a small last batch costs as many steps."""
    size = math.ceil(len(pending) / math.ceil(len(pending) / batch_size))
    return [pending.iloc[start : start + size] for start in range(0, len(pending), size)]


def missing(requested: pd.DataFrame, keys: set[str]) -> pd.DataFrame:
    """Return the rows of `requested` whose key is not in `keys`, each key once, in the cheapest order."""
    return side_by_side(requested[~requested["key"].isin(keys)].drop_duplicates("key"))


def _generate_missing(
    pending: pd.DataFrame, total: int, parameters: Generation, model, journal: Journal, first_step, shown
) -> None:
    plan, measured = throughput.pace(model, pending, parameters), time.monotonic()
    batches = _batches(pending, throughput.saved_together(plan, model, pending, parameters))
    seconds = [throughput.expected(plan, model, batch, parameters) for batch in batches]
    costs = (seconds, True) if all(seconds) else ([len(batch) for batch in batches], False)
    own = progress.bar(total, parameters.model.name, "completions", total - len(pending), *costs)
    with nullcontext(shown) if shown else own as bar:
        for number, batch in enumerate(batches):
            if time.monotonic() - measured > throughput.AGAIN:
                plan = throughput.again(plan, model, pd.concat(batches[number:]), parameters)
                measured = time.monotonic()
            journal.append(_complete(batch, parameters, model, bar.update, plan.division, first_step))
            bar.step(len(batch))


def side_by_side(requests: pd.DataFrame) -> pd.DataFrame:
    """Return `requests` in the cheapest order.

    The wordings of a mitigation follow one another, because their prompts share a prefix. Within a wording,
    groups are sorted by length, because a batch is as slow as its longest prompt. Within a group the arms are
    adjacent, because they share their noise.
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


def _complete(
    batch: pd.DataFrame, parameters: Generation, model, progress, division: Division, first_step
) -> list[dict]:
    local = {"division": division, "on_prompts": first_step} if model.is_local else {}
    replies = model.reply(
        batch, parameters.sampled_at, parameters.max_new_tokens, parameters.seed, progress, **local
    )
    if first_step:
        first_step.save()
    markers, records = tuple(parameters.model.thought_markers), []
    # with one template, all prompts open a thought or none does
    thinking = model.opens_thought(batch["rendered"].iloc[0])
    for row, reply in zip(batch.itertuples(), replies, strict=True):
        settle_args = (row.context, row.stem, row.mitigation_text, markers, thinking)
        records.append(
            {
                "key": row.key,
                **asdict(outcomes.settle(reply, *settle_args)),
                "tokens": reply.tokens,
                "ended": reply.ended,
            }
        )
    return records


def completions_table(replies: pd.DataFrame, parameters: Generation, model) -> pd.DataFrame:
    """Return the table that a run stores.

    Returns:
        model, COMPLETION_COLUMNS, SETTLED, family, tuning, mode, parameters (weights outside the embedding
        tables; missing where unknown).
    """
    spec = parameters.model
    table = replies[[*COMPLETION_COLUMNS, *SETTLED]].copy()
    table.insert(0, "model", spec.name)
    return table.assign(
        family=spec.family,
        tuning=spec.tuning,
        mode=spec.mode,
        parameters=pd.array([model.parameters] * len(table), "Int64"),
    )


def usability(completions: pd.DataFrame) -> pd.DataFrame:
    """Summarise the completions by arm.

    Returns:
        completions, mean tokens, % that ended before the token limit, % distinct among those that can be
        judged.
    """
    usable = completions[completions["outcome"].isin(outcomes.USABLE)]
    arms = completions.assign(ended=100.0 * completions["ended"]).groupby("arm", sort=False)
    table = arms.agg(completions=("outcome", "size"), tokens=("tokens", "mean"), ended=("ended", "mean"))
    distinct = usable.groupby("arm", sort=False)["completion"].agg(
        lambda texts: 100.0 * texts.nunique() / len(texts)
    )
    return table.assign(distinct=distinct).rename(columns={"ended": "ended, %", "distinct": "distinct, %"})


def identical_rate(completions: pd.DataFrame) -> pd.Series:
    """Return the % of unmitigated completions of each arm that equal the neutral one with the same noise.

    Pairs in which either is missing are left out.
    """
    plain = completions[completions["mitigation"] == NO_MITIGATION]
    wide = plain.pivot(index=["group_id", "sample_index"], columns="arm", values="completion").dropna(
        subset="neutral"
    )
    return 100.0 * wide.eq(wide["neutral"], axis=0).where(wide.notna()).mean()
