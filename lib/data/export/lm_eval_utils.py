"""What the task's YAML files name: documents, scoring, aggregation.

A document is a prompt; pairs are made in the aggregation.
"""

import sys
from functools import partial
from pathlib import Path

import datasets

sys.path.insert(0, str(Path(__file__).parent))

from leakage_scoring import COUNTS, REPORTED, judged, leakage, read_prompts

METRICS = tuple(key for name in REPORTED for key in (name, f"{name}_error")) + COUNTS


def documents(**_) -> dict:
    """The prompts, as the split `test`."""
    return {"test": datasets.Dataset.from_list(read_prompts())}


def every_sample(replies, docs):
    """A filter that keeps all `repeats` replies to a prompt, where the harness by itself keeps the first."""
    return list(replies)


def process_results(doc: dict, results: list[list[str]]) -> dict:
    """The judged replies to one prompt, under the name of every metric: each needs them all."""
    rows = [judged(reply, doc, index) for index, reply in enumerate(results[0])]
    return dict.fromkeys(METRICS, rows)


def _aggregate(name: str, items: list[list[dict]]) -> float:
    return leakage([row for rows in items for row in rows])[name]


# the YAML names one function a metric
globals().update({name: partial(_aggregate, name) for name in METRICS})
