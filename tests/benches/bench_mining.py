"""How fast pages are mined, stage by stage, beside other readers of the same file (make bench-mining).

Rates are MB (10**6 bytes) of uncompressed WET a CPU second of one core. The file is made here, the same at
each call: English pages, whose lines are drawn from the embedded free text and mixed with short ones as in
menus, among made-up words in other languages. Other readers and isal are asked where installed. Ends with an
error if the whole chain is slower than MINIMUM.
"""

import argparse
import gzip
import importlib.util
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import sentencex
from datatrove.utils.logging import logger
from fastwarc.warc import ArchiveIterator

from lib.config.sections import Mining
from lib.corpora import packaged_text, wet
from lib.mining import extract, mining_job

MINIMUM = 20.0
FILES, FILE_MB = 90_000, 280  # of a crawl of 2024, uncompressed
SLOW = 20  # MB of the file that datatrove's own reader is given: it takes a second for 4
TOLD = Mining(tasks=1, workers=1)
OTHERS = ("deu", "rus", "fra,eng", "zho")


def texts(megabytes: float, rng: np.random.Generator) -> Iterator[tuple[str, str]]:
    """Text and language of pages, in all of `megabytes`."""
    lines = [
        line
        for path in packaged_text.wet_files()
        for page in wet.pages(path, Counter())
        for line in page.text.split("\n")
    ]
    long = [line for line in lines if len(line) >= 40]
    words = [
        "".join(word) for size in range(2, 11) for word in rng.choice(list("aeiouklmnprst"), (500, size))
    ]
    made = 0
    while made < megabytes * 1e6:
        places = rng.integers(len(long), size=rng.integers(5, 60))
        if rng.random() < 0.4:
            text, language = (
                "\n".join(long[place] if rng.random() < 0.4 else lines[place][:20] for place in places),
                "eng",
            )
        else:
            text = "\n".join(
                " ".join(words[word] for word in rng.integers(len(words), size=30)) for _ in places
            )
            language = OTHERS[places[0] % len(OTHERS)]
        made += len(text.encode())
        yield text, language


def make(path: Path, megabytes: float) -> float:
    """Writes the file; returns the MB in it."""
    with path.open("wb") as file:
        for number, (text, language) in enumerate(texts(megabytes, np.random.default_rng(1))):
            file.write(
                packaged_text.page_record(
                    f"http://site{number % 3000}.example/{number}", "2024-05-19T03:04:05Z", text, language
                )
            )
    with gzip.open(path) as file:
        return sum(map(len, iter(lambda: file.read(1 << 20), b""))) / 1e6


def unpack(path: Path, opened: Callable) -> None:
    with opened(path) as file:
        while file.read(1 << 20):
            pass


def with_fastwarc(path: Path) -> None:
    for record in ArchiveIterator(str(path), parse_http=False):
        record.reader.read()


def with_warcio(path: Path) -> None:
    from warcio.archiveiterator import ArchiveIterator as Records

    with path.open("rb") as file:
        for record in Records(file):
            record.content_stream().read()


def with_datatrove(path: Path) -> None:
    from datatrove.pipeline.readers import WarcReader

    for _ in WarcReader(str(path.parent), glob_pattern=path.name).run():
        pass


def whole_chain(path: Path) -> None:
    """The job as it is run: reader, miner, parquet, in datatrove's executor, in one process."""
    with tempfile.TemporaryDirectory() as folder:
        job = mining_job.prepare(Path(folder), [path], TOLD)
        mining_job.executor(job).run()


def ways(path: Path, part: Path, read: list[str]) -> dict[str, tuple[Callable, bool]]:
    """What is timed, and whether on the part of the file alone; stages after reading are given the pages in
    memory."""
    installed = {name for name in ("isal", "warcio", "cchardet", "magic") if importlib.util.find_spec(name)}
    found = {"gzip, standard library": (lambda: unpack(path, gzip.open), False)}
    if "isal" in installed:
        from isal import igzip

        found["gzip, isal"] = (lambda: unpack(path, igzip.open), False)
    if "warcio" in installed:
        found["warcio"] = (lambda: with_warcio(path), False)
    if {"warcio", "cchardet", "magic"} <= installed:
        found["datatrove's WarcReader"] = (lambda: with_datatrove(part), True)
    lines = [line for text in read for line in text.split("\n") if len(line) >= extract.LINE]
    return found | {
        "FastWARC, every record": (lambda: with_fastwarc(path), False),
        "pages (checked, English, decoded)": (lambda: list(wet.pages(path, Counter())), False),
        "sentences of long lines": (lambda: [list(sentencex.segment("en", line)) for line in lines], False),
        "candidates (lines, sentences, rules)": (
            lambda: [list(extract.candidates(text, TOLD.min_abs_vader, Counter())) for text in read],
            False,
        ),
        "whole chain, datatrove to parquet": (lambda: whole_chain(path), False),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--megabytes", type=int, default=160)
    parser.add_argument("--repeats", type=int, default=3)
    told = parser.parse_args()
    logger.remove()
    with tempfile.TemporaryDirectory() as folder:
        path, part = Path(folder) / "all.warc.wet.gz", Path(folder) / "part.warc.wet.gz"
        size, small = make(path, told.megabytes), make(part, SLOW)
        counts = Counter()
        read = [page.text for page in wet.pages(path, counts)]
        english = sum(len(text.encode()) for text in read) / 1e6
        packed = f"{size:.0f} MB, {path.stat().st_size / 1e6:.0f} MB packed"
        print(f"{packed}, {counts['records']} records, {counts['kept']} English: {english:.0f} MB")
        rows = []
        for repeat in range(told.repeats):
            for name, (way, partly) in ways(path, part, read).items():
                begun = time.process_time()
                way()
                rows.append(
                    {
                        "way": name,
                        "repeat": repeat,
                        "rate": (small if partly else size) / (time.process_time() - begun),
                    }
                )
    rates = pd.DataFrame(rows).groupby("way", sort=False)["rate"].agg(["median", "min", "max"])
    print(rates.round(0).astype(int).to_markdown())
    chain = rates["median"].iloc[-1]
    hours, fetched = FILES * FILE_MB / chain / 3600, FILES * FILE_MB * path.stat().st_size / size / 1e12
    print(
        f"A whole crawl ({FILES:,} files of about {FILE_MB} MB): {hours:,.0f} core-hours, {hours / 64:.1f} "
        "hours on 64 cores, "
        f"{hours / 1000:.2f} on 1,000; {fetched:.1f} TB to fetch if packed like this file"
    )
    if chain < MINIMUM:
        sys.exit(f"error: the whole chain reads {chain:.1f} MB a CPU second, less than {MINIMUM:.0f}")


if __name__ == "__main__":
    main()
