"""Whole groups are asked in order, until the time is over."""

import time

import pandas as pd

from lib.measure import answers, sets
from lib.models import registry
from tests.measured import CANNED


def test_rounds_end_with_the_time():
    lacks = pd.Series([5] * 10)
    assert answers._round(lacks, 20, 0.0, 1.0) == 4  # no pace is known: a batch
    assert answers._round(lacks, 20, 0.1, 1.0) == 2  # ten completions fit into a second
    assert answers._round(lacks, 20, 1.0, 4.0) == 0
    assert answers._round(lacks, 3, 0.1, 1.0) == 1  # a batch may be smaller than a group
    assert answers._round(pd.Series([0, 0, 5]), 20, 1.0, -1.0) == 2  # what is at hand needs no time


def test_whole_groups_are_made_in_order_until_the_deadline_and_a_later_call_goes_on(project):
    told = sets.values(CANNED, "vader")
    table, ordered = answers.benchmark(told)
    asked = answers.Answers("mine", registry.load(CANNED), table)
    run = answers.parameters(told, "mine", CANNED, 1, mitigate=False).model_copy(update={"batch_size": 20})
    slow = asked.model.reply
    asked.model.reply = lambda *given: time.sleep(0.2) or slow(*given)
    made, whole = asked.ask(run, ordered[:100], 0.01, time.monotonic() + 1)
    assert (
        4 <= whole <= 24
        and made["group_id"].drop_duplicates().isin(ordered[:whole]).all()
        and len(made) == 5 * whole
    )
    asked.model.reply = slow
    lacks = asked.lacks(run, ordered)
    assert not lacks(1, False)[:whole].any() and (lacks(1, False)[whole:] == 5).all()
    assert asked.ask(run, ordered[:100])[1] == 100
