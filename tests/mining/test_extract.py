"""From text to candidates: the rules one by one, counts that add up, and the job that a kill interrupts."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.config.sections import Mining
from lib.corpora import packaged_text, wet
from lib.mining import extract, mining_job
from lib.runtime.errors import DataError

NEUTRAL = "The wooden bridge across the river was built by two brothers in 1912."
GOOD = "I love this player and am extremely happy with my decision."
BAD = "It was a horrible, miserable and disgusting meal that we all hated."

REASONS = [
    ("Too short here.", "sentence_length"),
    ("the wooden bridge across the river was built by two brothers.", "sentence_form"),
    ("Was the wooden bridge across the river built by two brothers?", "sentence_form"),
    ('The "wooden" bridge across the river was built by two brothers.', "sentence_form"),
    ("The wooden bridge across the river was built by Mr. Smith in the valley.", "sentence_signs"),
    ("The wooden bridge costs 100% more than the one in the valley.", "sentence_signs"),
    ("It was horrible at first and then it was wonderful.", "sentence_mixed"),
    ("It was not a horrible meal that we had there.", "sentence_negated"),
    ("Then it was a horrible and disgusting meal that we had.", "sentence_opener"),
    ("You will find it a horrible and disgusting meal.", "sentence_address"),
    ("In horrible Paris we ate a disgusting and miserable meal.", "sentence_names"),
    ("The soldiers came to the north of the valley in 1912.", "sentence_topic"),
    ("Han tog den med sig hem till sin mor efter det.", "sentence_language"),
]


@pytest.mark.parametrize(("sentence", "reason"), REASONS)
def test_a_sentence_that_does_not_serve_is_told_why(sentence, reason):
    assert extract.judged(sentence, 1.6) == reason


@pytest.mark.parametrize(
    ("sentence", "role"),
    [(GOOD, "positive"), (BAD, "negative"), ("I walked to the station in the morning.", "neutral")],
)
def test_a_context_is_charged_as_its_words_are(sentence, role):
    found = extract.judged(sentence, 1.6)
    assert (found.role, found.sentence, found.stem) == (role, sentence, "")
    assert (found.valence > 0) - (found.valence < 0) == {"positive": 1, "negative": -1, "neutral": 0}[role]


def test_a_weak_charge_is_not_enough():
    assert extract.judged("I like the door.", 1.6) == "sentence_length"
    assert extract.judged("I like the door that they made.", 1.6) == "sentence_weak"
    assert extract.judged("I like the door that they made.", 1.0).role == "positive"


def test_a_neutral_sentence_is_cut_where_it_stays_open():
    found = extract.judged(NEUTRAL, 1.6)
    assert (found.role, found.stem, found.reference) == (
        "stem",
        "The wooden bridge across the river was built by",
        "two brothers in 1912.",
    )


@pytest.mark.parametrize(
    ("sentence", "stem"),
    [
        (
            "The long walk took place near Bank of America.",
            "The long walk took place near",
        ),  # inside a name, or of a fixed phrase
        ("The harbour of the town is at least two miles long.", "The harbour of the town is"),
        ("The voters of the town will, for the first time, meet.", None),  # a verb is left behind an aside
        ("Salt is brought by sea, and for meat people pay well.", None),  # a second thought, hardly begun
        ("Wool cloth, salt fish, iron bars, oak planks, grain.", None),  # no word to cut after
    ],
)
def test_a_cut_is_never_inside_a_name_or_a_fixed_phrase(sentence, stem):
    words = sentence.split(" ")
    place = extract.cut(words)
    assert (" ".join(words[:place]) if place else None) == stem


PARTS = [
    *(sentence for sentence, _ in REASONS),
    NEUTRAL,
    GOOD,
    BAD,
    "menu",
    "Accept our cookie policy now.",
    "No sentence ends here",
    "\n",
    "\ufffd\x00",
]


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(PARTS), max_size=25), st.sampled_from([" ", "\n"]))
def test_every_line_and_sentence_is_accounted_for(parts, between):
    counts = Counter()
    found = list(extract.candidates(between.join(parts), 1.6, counts))
    assert counts["lines"] == sum(n for key, n in counts.items() if key.startswith("line_"))
    assert counts["sentences"] == sum(
        n for key, n in counts.items() if key.startswith(("sentence_", "role_"))
    )
    assert len(found) == sum(n for key, n in counts.items() if key.startswith("role_"))


def wet_files(folder: Path, count: int) -> list[Path]:
    """Small WET files of distinct pages, each with a stem, a charged and a neutral sentence."""
    paths = [folder / f"{number:02}.warc.wet.gz" for number in range(count)]
    for number, path in enumerate(paths):
        stem = NEUTRAL.replace("1912", str(1900 + number))
        text = f"{stem} {GOOD}\nA menu\n{BAD}\nI walked to the station with {number} maps in the morning."
        packaged_text.write(
            path,
            "CC-MAIN-2024-22",
            [
                packaged_text.Text(f"http://site{number}.org/{page}", "2024-05-01T00:00:00Z", text)
                for page in range(30)
            ],
        )
    return paths


def mined(folder: Path) -> tuple[pd.DataFrame, Counter]:
    table = mining_job.candidates(folder)
    return table.sort_values(list(table.columns)).reset_index(drop=True), wet.counted(folder, extract.Miner)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> tuple[list[Path], pd.DataFrame, Counter]:
    files = wet_files(tmp_path_factory.mktemp("wet"), 12)
    folder = mining_job.prepare(tmp_path_factory.mktemp("whole"), files, Mining(workers=2))
    mining_job.run(folder)
    return files, *mined(folder)


def test_a_job_keeps_where_each_candidate_was_found(undisturbed):
    files, table, counts = undisturbed
    assert counts["pages"] == 12 * 30
    assert set(table["role"]) == set(extract.ROLES)
    assert len(table) == 4 * 12 * 30 == sum(counts[f"role_{role}"] for role in extract.ROLES)
    row = table[table["role"] == "neutral"].iloc[0]
    assert (row["crawl"], row["line"], row["place"], row["wet_path"]) == (
        "CC-MAIN-2024-22",
        3,
        0,
        files[0].name,
    )
    page = wet.page_at(files[0], int(row["offset"]))
    assert row["sentence"] in page.text and page.record_id == row["record_id"] and page.url == row["url"]


@pytest.mark.parametrize("tasks", [1, 5])
def test_the_number_of_tasks_changes_nothing(undisturbed, tasks, tmp_path):
    files, table, counts = undisturbed
    folder = mining_job.prepare(tmp_path, files, Mining(tasks=tasks, workers=1))
    mining_job.run(folder)
    again, counted = mined(folder)
    pd.testing.assert_frame_equal(again, table)
    assert counted == counts


def test_a_killed_job_is_finished_with_the_same_rows(undisturbed, tmp_path):
    files, table, counts = undisturbed
    folder = mining_job.prepare(tmp_path, files, Mining(workers=2))
    code = (
        f"from pathlib import Path; from lib.mining import mining_job; mining_job.run(Path({str(folder)!r}))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], start_new_session=True, stderr=subprocess.DEVNULL
    )
    until = time.monotonic() + 120
    while not 0 < mining_job.finished(folder) < 12 and time.monotonic() < until:
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    done = mining_job.finished(folder)
    assert 0 < done < 12
    times = {path: path.stat().st_mtime_ns for path in (folder / "completions").iterdir()}
    mining_job.run(folder)
    # what was finished is not done again
    assert all(path.stat().st_mtime_ns == changed for path, changed in times.items())
    again, counted = mined(folder)
    pd.testing.assert_frame_equal(again, table)
    assert counted == counts


def test_a_job_that_fails_says_where_and_is_not_taken_for_done(undisturbed, tmp_path):
    folder = mining_job.prepare(tmp_path, undisturbed[0], Mining(workers=1))
    job = json.loads((folder / "job.json").read_text())
    (folder / "job.json").write_text(json.dumps(job | {"charge": "much"}))
    with pytest.raises(RuntimeError, match=r"0 of 12 tasks are finished.*TypeError[\s\S]*run again"):
        mining_job.run(folder)


def test_text_without_candidates_is_an_error(tmp_path):
    path = tmp_path / "empty.warc.wet.gz"
    packaged_text.write(
        path, "none", [packaged_text.Text("http://site.org", "2024-05-01T00:00:00Z", "A menu")]
    )
    folder = mining_job.prepare(tmp_path, [path], Mining(workers=1))
    mining_job.run(folder)
    with pytest.raises(ValueError, match=r"no candidate at all in .*empty\.warc\.wet\.gz"):
        mining_job.candidates(folder)


def test_a_table_that_was_cut_short_is_mined_again(undisturbed, tmp_path):
    files, table, counts = undisturbed
    folder = mining_job.prepare(tmp_path, files, Mining(workers=2))
    mining_job.run(folder)
    path = sorted((folder / "candidates").iterdir())[3]
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError, match=rf"{path.name}: damaged, and removed; run again"):
        mining_job.candidates(folder)
    mining_job.run(folder)
    again, counted = mined(folder)
    pd.testing.assert_frame_equal(again, table)
    assert counted == counts
