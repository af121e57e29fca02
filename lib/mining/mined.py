"""The mined benchmark: prompts out of free text, made as the curated ones are, with where every sentence was
found.

WET files → candidates (`lib.mining.extract`, run by `lib.mining.mining_job`) → those that people would feel
so (`lib.mining.filters`) → matches and groups (`lib.mining.matching`) → the table of prompts, the table of
what they are made of, the counts of everything left out, and gates that stop a bad benchmark
(`lib.mining.mined_checks`).

What differs from the curated benchmark: a curated context speaks of the stem's own subject; a mined one is of
another page and of somebody else. Nobody labelled slots, emotions or intensities, so these are 'unknown'.
"""

from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from lib.config.sections import Crawl, Dataset, Mining
from lib.corpora import commoncrawl, packaged_text, wet
from lib.dataset import curated_prompts
from lib.mining import filters, matching, mined_checks, mining_job
from lib.storage import records

PROVENANCE = [
    "url",
    "site",
    "date",
    "crawl",
    "wet_path",
    "offset",
    "record_id",
    "refers_to",
    "line",
    "place",
    "sentence_sha1",
]


class Benchmark(NamedTuple):
    """What `build` gives; each a table."""

    prompts: pd.DataFrame  # with the columns of prompts.PROMPTS
    # one row a stem or context: text_id, role, text, sentence, reference, valence, predicted, PROVENANCE
    sources: pd.DataFrame
    counts: pd.DataFrame  # stage, what, count, share
    gates: pd.DataFrame  # gate, must_be, value, limit, passed
    felt: pd.DataFrame  # what people said of the chosen sentences, and of all that the rules choose


def build(run: Dataset) -> Benchmark:
    """The benchmark that `run.mining` asks for. ValueError if a gate fails, naming all that do."""
    told = run.mining
    folder = mining_job.prepare(records.run_folder(run.set_name) / "mined", files(told, run.seed), told)
    mining_job.run(folder)
    read = wet.counted(folder)
    wet.demand_pages(read)
    counts = mining_job.counted(folder)
    table, sources = assemble(mining_job.candidates(folder), told, run.seed, counts)
    found = Benchmark(
        table,
        sources,
        mined_checks.counts(read, counts),
        mined_checks.gates(table, sources, read, counts, told),
        mined_checks.felt(sources, told),
    )
    mined_checks.demand(found.gates)
    return found


def files(told: Mining, seed: int) -> list[Path]:
    """The WET files to read; those of a crawl are fetched first."""
    if told.source == "embedded":
        return packaged_text.wet_files()
    if isinstance(told.source, Crawl):
        return commoncrawl.fetch(told.source.crawl, told.source.files, seed, 60 * told.source.minutes)
    return commoncrawl.local_files(list(told.source))


def assemble(
    candidates: pd.DataFrame, told: Mining, seed: int, counts: Counter
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Prompts and their sources out of candidates; the same for the same candidates in any order."""
    chosen, vectors = filters.choose(candidates, told, counts)
    chosen = matching.describe(chosen)
    found = matching.matches(chosen, np.random.default_rng(seed))
    groups = matching.groups(chosen, vectors, found, told)
    used = np.unique(
        np.concatenate([groups["stem"], *(found.loc[groups["match"], arm] for arm in matching.ALL)])
    ).astype(int)
    counts["used"] += len(used)
    counts["dropped_unmatched"] += len(chosen) - len(used)
    chosen["text_id"] = chosen["role"].str[:3] + "-" + chosen["sentence_sha1"].str[:12]
    columns = [
        "text_id",
        "role",
        "shown",
        "sentence",
        "reference",
        "valence",
        "predicted",
        "words",
        *PROVENANCE,
    ]
    sources = chosen.loc[used, columns]
    return _prompts(chosen, found, groups), sources.rename(columns={"shown": "text"}).reset_index(drop=True)


def _prompts(chosen: pd.DataFrame, found: pd.DataFrame, groups: pd.DataFrame) -> pd.DataFrame:
    """One row a group and arm, as prompts.PROMPTS asks."""
    stems = chosen.loc[groups["stem"]].reset_index(drop=True)
    negative = chosen.loc[found.loc[groups["match"], "negative"], "text_id"].to_numpy()
    common = pd.DataFrame(
        {
            "group_id": stems["text_id"] + "+" + negative,
            "stem_id": stems["text_id"],
            "domain": stems["site"],
            "slot": "unknown",
            "pronoun": "unknown",
            "form": "mined",
            "kind": "",
            "literal_senses": "",
            "stem": stems["shown"],
        }
    )
    parts = [common.assign(arm="none", context_id="", context="", emotion="none", intensity="none")]
    for arm in matching.ALL:
        contexts = chosen.loc[found.loc[groups["match"], arm]]
        emotion = "unknown" if arm in matching.CHARGED else "none"
        parts.append(
            common.assign(
                arm=arm,
                context_id=contexts["text_id"].to_numpy(),
                context=contexts["shown"].to_numpy(),
                emotion=emotion,
                intensity="unknown",
            )
        )
    table = pd.concat(parts, ignore_index=True)
    table["prompt_id"] = table["group_id"] + "/" + table["arm"]
    table["text"] = (table["context"] + " " + table["stem"]).str.strip()
    table["arm"] = pd.Categorical(table["arm"], curated_prompts.ARMS)
    table = table.sort_values(["stem_id", "group_id", "arm"]).astype({"arm": str}).reset_index(drop=True)
    return curated_prompts.PROMPTS.validate(table[list(curated_prompts.PROMPTS.columns)])
