"""The mined benchmark: prompts from free text in the format of the curated ones, with their sources.

The steps: WET files → candidates (`lib.mining.extract`, run by `lib.mining.mining_job`) → candidates with the
right predicted rating (`lib.mining.filters`) → matches and groups (`lib.mining.matching`) → the table of
prompts, the table of their sources, the counts of everything left out, and gates that stop a bad benchmark
(`lib.mining.mined_checks`).

It differs from the curated benchmark in two ways. A curated context is about the stem's own subject; a mined
one comes from another page and is about somebody else. Slots, emotions and intensities have no labels, so
they are 'unknown'.
"""

from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from lib.config.sections import Crawl, Dataset, Mining
from lib.corpora import commoncrawl, packaged_text, wet
from lib.dataset import curated_prompts
from lib.mining import extract, filters, matching, mined_checks, mining_job
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
    """The result of `build`; each field is a table."""

    prompts: pd.DataFrame  # with the columns of curated_prompts.PROMPTS
    # one row per stem or context: text_id, role, text, sentence, reference, valence, predicted, PROVENANCE
    sources: pd.DataFrame
    counts: pd.DataFrame  # stage, what, count, share
    gates: pd.DataFrame  # gate, must_be, value, limit, passed
    felt: pd.DataFrame  # human ratings of the chosen sentences, and of all sentences that the rules choose


def build(run: Dataset) -> Benchmark:
    """Build the benchmark that `run.mining` describes.

    Raises:
        ValueError: If any gate fails; the message names all that do.
    """
    config = run.mining
    assert config is not None
    folder = mining_job.prepare(records.run_folder(run.set_name) / "mined", files(config, run.seed), config)
    mining_job.run(folder)
    record_counts = wet.counted(folder, wet.WetReader)
    wet.demand_pages(record_counts)
    counts = wet.counted(folder, extract.Miner)
    table, sources = assemble(mining_job.candidates(folder), config, run.seed, counts)
    benchmark = Benchmark(
        table,
        sources,
        mined_checks.counts(record_counts, counts),
        mined_checks.gates(table, sources, record_counts, counts, config),
        mined_checks.felt(sources, config),
    )
    mined_checks.demand(benchmark.gates)
    return benchmark


def files(config: Mining, seed: int) -> list[Path]:
    """The WET files to read; files of a crawl are downloaded first."""
    if config.source == "embedded":
        return packaged_text.wet_files()
    if isinstance(config.source, Crawl):
        return commoncrawl.fetch(config.source.crawl, config.source.files, seed, 60 * config.source.minutes)
    return commoncrawl.local_files(list(config.source))


def assemble(
    candidates: pd.DataFrame, config: Mining, seed: int, counts: Counter
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Prompts and their sources from candidates; the result does not depend on the order of candidates.

    Args:
        candidates: One row per candidate, with the columns of `mining_job.COLUMNS`.
        config: The mining section of a parameter set.
        seed: Seed of the matching.
        counts: Counts by outcome, updated in place.

    Returns:
        The prompts, with the columns of `curated_prompts.PROMPTS`, and the sources, as in `Benchmark`.
    """
    chosen, vectors = filters.choose(candidates, config, counts)
    chosen = matching.describe(chosen)
    match_table = matching.matches(chosen, np.random.default_rng(seed))
    groups = matching.groups(chosen, vectors, match_table, config)
    used = np.unique(
        np.concatenate([groups["stem"], *(match_table.loc[groups["match"], arm] for arm in matching.ALL)])
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
    return _prompts(chosen, match_table, groups), sources.rename(columns={"shown": "text"}).reset_index(
        drop=True
    )


def _prompts(chosen: pd.DataFrame, matched: pd.DataFrame, groups: pd.DataFrame) -> pd.DataFrame:
    """One row per group and arm, as curated_prompts.PROMPTS requires."""
    stems = chosen.loc[groups["stem"]].reset_index(drop=True)
    negative = chosen.loc[matched.loc[groups["match"], "negative"], "text_id"].to_numpy()
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
    arm_tables = [common.assign(arm="none", context_id="", context="", emotion="none", intensity="none")]
    for arm in matching.ALL:
        contexts = chosen.loc[matched.loc[groups["match"], arm]]
        emotion = "unknown" if arm in matching.CHARGED else "none"
        arm_tables.append(
            common.assign(
                arm=arm,
                context_id=contexts["text_id"].to_numpy(),
                context=contexts["shown"].to_numpy(),
                emotion=emotion,
                intensity="unknown",
            )
        )
    table = pd.concat(arm_tables, ignore_index=True)
    table["prompt_id"] = table["group_id"] + "/" + table["arm"]
    table["text"] = (table["context"] + " " + table["stem"]).str.strip()
    table["arm"] = pd.Categorical(table["arm"], curated_prompts.ARMS)
    table = table.sort_values(["stem_id", "group_id", "arm"]).astype({"arm": str}).reset_index(drop=True)
    return curated_prompts.PROMPTS.validate(table[list(curated_prompts.PROMPTS.columns)])
