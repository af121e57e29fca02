"""Verdicts are kept: nothing is judged twice, nothing is lost by a kill, and a million rows fit into little
memory."""

import resource
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from lib.judging import verdicts
from lib.runtime.errors import DataError, ResourceError

TEXTS = [f"text {number}" for number in range(10)]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("EXPRESSION_LEAKAGE_CACHE", str(tmp_path))
    return tmp_path


class Canned:
    """A judge whose valence is the text's length over 10; keeps what it was asked."""

    def __init__(self):
        self.asked = []

    def __call__(self, texts: list[str]) -> np.ndarray:
        self.asked += texts
        return np.array([len(text) / 10 for text in texts])


def started(code: str) -> subprocess.Popen:
    """Another process that runs `code` after what every one of these tests needs."""
    before = "import os, sys, time, numpy as np\nfrom lib.judging import judges, verdicts\n"
    command = [sys.executable, "-c", before + textwrap.dedent(code)]
    return subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def told(process: subprocess.Popen) -> str:
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out


def test_each_distinct_text_is_judged_once_and_answered_in_its_place():
    judge = Canned()
    np.testing.assert_array_equal(verdicts.cached("a", ["bb", "a", "bb", ""], judge), [0.2, 0.1, 0.2, 0])
    assert sorted(judge.asked) == ["", "a", "bb"]
    np.testing.assert_array_equal(verdicts.cached("a", ["ccc", "a"], judge), [0.3, 0.1])
    assert judge.asked[3:] == ["ccc"]
    assert verdicts.cached("a", [], judge).shape == (0,)


def test_versions_are_apart():
    judge = Canned()
    verdicts.cached("a", TEXTS, judge)
    verdicts.cached("b", TEXTS, judge)
    assert sorted(judge.asked) == sorted(TEXTS * 2)
    assert verdicts.path("a") != verdicts.path("b")


def test_no_verdict_is_kept_as_no_verdict():
    given = verdicts.cached("a", ["x", "y"], lambda texts: np.where(np.array(texts) == "x", np.nan, 1.0))
    again = verdicts.cached("a", ["x", "y"], lambda texts: pytest.fail("judged twice"))
    np.testing.assert_array_equal(given, [np.nan, 1])
    np.testing.assert_array_equal(again, [np.nan, 1])


def test_any_text_can_be_kept():
    texts = [
        "",
        "\0",
        "😀",
        "\ud83d",
        "a" * 100_000,
        "é",
        "e\u0301",
    ]  # with half of a pair, and one letter written in two ways
    judge = Canned()
    given = verdicts.cached("a", texts, judge)
    np.testing.assert_array_equal(verdicts.cached("a", texts, judge), given)
    assert sorted(judge.asked) == sorted(texts)


def test_a_judge_that_answers_too_little_is_refused_and_nothing_of_it_kept():
    with pytest.raises(ValueError, match="zip"):
        verdicts.cached("a", TEXTS, lambda texts: np.zeros(len(texts) - 1))
    judge = Canned()
    verdicts.cached("a", TEXTS, judge)
    assert sorted(judge.asked) == sorted(TEXTS)


def test_a_killed_run_loses_its_last_block_only(monkeypatch):
    monkeypatch.setattr(verdicts, "BLOCK", 3)
    killed = started(f"""
        verdicts.BLOCK = 3
        def give(texts):
            if "text 7" in texts:
                os.kill(os.getpid(), 9)
            return np.zeros(len(texts))
        verdicts.cached("a", {TEXTS!r}, give)
    """)
    killed.communicate(timeout=120)
    assert killed.returncode == -9
    judge = Canned()
    # blocks of 3 in the order given, as all are equally long: 0 1 2 | 3 4 5 | 6 7 8 | 9; the third was being
    # judged
    np.testing.assert_array_equal(verdicts.cached("a", TEXTS, judge), [0] * 6 + [0.6] * 4)
    assert judge.asked == TEXTS[6:]


def test_two_processes_at_once_fill_the_same_file():
    code = """
        def give(texts):
            time.sleep(0.01)
            return np.array([len(text) / 10 for text in texts])
        verdicts.BLOCK = 5
        mine = ["x" * n for n in range({first}, {first} + 300)]
        assert (verdicts.cached("a", mine, give) == np.array([len(text) / 10 for text in mine])).all()
    """
    for process in [started(code.format(first=first)) for first in (0, 100)]:
        told(process)
    judge = Canned()
    verdicts.cached("a", ["x" * length for length in range(401)], judge)
    assert judge.asked == ["x" * 400]


def test_a_million_rows_of_which_many_repeat_take_little_memory_and_time():
    used = told(
        started("""
        import resource
        from lib.judging import learned
        from lib.config.specs import LearnedJudge
        learned.version, learned.valences = lambda judge: "mock", lambda judge, texts: np.zeros(len(texts))
        judge = LearnedJudge(name="learned")
        judges.valences(judge, ["warm"])
        made = [f"completion number {number}" for number in range(100_000)]
        rows = [made[number * 7919 % len(made)] for number in range(1_000_000)]
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for _ in range(2):  # judged, then looked up
            begun = time.process_time()
            assert len(judges.valences(judge, rows)) == len(rows)
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            print((peak - before) / 1024, time.process_time() - begun)
    """)
    )
    for line in used.splitlines():
        megabytes, seconds = map(float, line.split())
        assert megabytes < 100, used
        assert seconds < 10, used


def test_texts_that_all_differ_take_a_fifth_of_a_kilobyte_each():
    used = told(
        started("""
        import resource
        texts = [f"completion number {number}" for number in range(200_000)]
        verdicts.cached("mock", ["warm"], lambda texts: np.zeros(len(texts)))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        verdicts.cached("mock", texts, lambda texts: np.zeros(len(texts)))
        print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
    """)
    )
    assert float(used) < 40


@pytest.mark.parametrize("damage", ["header", "middle", "end"])
def test_a_damaged_store_is_named_with_what_to_do(damage):
    texts = [f"text {number}" for number in range(500)]
    verdicts.cached("a", texts, lambda asked: np.zeros(len(asked)))
    path = verdicts.path("a")
    data = path.read_bytes()
    size = len(data)
    start, end = {"header": (0, 100), "middle": (4096, size), "end": (size // 2, size)}[damage]
    path.write_bytes(data[:start] if damage == "end" else data[:start] + b"\xa5" * (end - start) + data[end:])
    with pytest.raises(DataError, match=rf"^{path}: is damaged .*; delete it and run again"):
        verdicts.cached("a", texts, lambda asked: np.zeros(len(asked)))
    path.unlink()
    assert (verdicts.cached("a", texts, lambda asked: np.ones(len(asked))) == 1).all()


def test_a_store_that_cannot_grow_is_named_with_what_to_do(limit_of_files):
    texts = [f"text {number}" for number in range(5000)]
    with pytest.raises(ResourceError, match=r"\.sqlite: cannot be used .*make room"):
        verdicts.cached("a", texts, lambda asked: np.zeros(len(asked)))


@pytest.fixture
def limit_of_files():
    """The kernel refuses to let a file grow beyond 16 kB, as a full disk would."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (16_384, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
