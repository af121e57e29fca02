"""A sample of a crawl arrives whole and once, politely, whatever the server does meanwhile."""

import gzip
import time
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from lib.corpora import commoncrawl
from lib.storage import caching

CRAWL = "CC-MAIN-2024-22"
NAMES = [
    f"crawl-data/{CRAWL}/segments/{segment}.1/wet/CC-MAIN-{file:05d}.warc.wet.gz"
    for segment in range(4)
    for file in range(5)
]
CONTENT = bytes(range(256)) * 4000  # 1 MB: more than what fits into a socket at once


class Handler(BaseHTTPRequestHandler):
    """Serves `files`; `troubles` are what happens to the next requests, one each; `asked` is (path, Range,
    User-Agent, time)."""

    def do_GET(self):
        server = self.server
        span = self.headers.get("Range")
        server.asked.append((self.path, span, self.headers["User-Agent"], time.monotonic()))
        trouble = server.troubles.pop(0) if server.troubles else None
        if isinstance(trouble, tuple):
            self.send_response(trouble[0])
            for key, value in trouble[1].items():
                self.send_header(key, value)
            self.end_headers()
            return
        body, start = server.files.get(self.path), 0
        if body is None:
            self.send_error(404)
            return
        if span and trouble != "whole":
            start = int(span.removeprefix("bytes=").rstrip("-"))
            if start >= len(body):
                self.send_error(416)
                return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        self._send(body[start:], trouble)

    def _send(self, body: bytes, trouble: str | None) -> None:
        if trouble == "drip":
            for place in range(100):
                self.wfile.write(body[place : place + 1])
                time.sleep(0.05)
            return
        self.wfile.write(body[: len(body) // 2] if trouble == "cut" else body)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A server of one crawl, an empty cache, and no pauses but those it asks for."""
    monkeypatch.setenv("EXPRESSION_LEAKAGE_CACHE", str(tmp_path))
    monkeypatch.setattr(commoncrawl, "PAUSE", 0.0)
    monkeypatch.setattr(commoncrawl, "REFUSED_PAUSE", 0.2)
    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    http.handle_error = lambda *_: None  # a client that hangs up is part of the play
    http.troubles, http.asked = [], []
    http.files = {f"/{name}": CONTENT + name.encode() for name in NAMES}
    http.files[f"/crawl-data/{CRAWL}/wet.paths.gz"] = gzip.compress("\n".join(NAMES).encode())
    Thread(target=http.serve_forever, args=[0.02], daemon=True).start()
    yield http
    http.shutdown()
    http.server_close()


def fetch(server, files=1, seed=0, deadline=30.0, name=CRAWL):
    return commoncrawl.fetch(name, files, seed, deadline, f"http://127.0.0.1:{server.server_port}")


def whole(server, paths) -> bool:
    return all(
        path.read_bytes() == server.files[f"/{path.relative_to(caching.cache_folder())}"] for path in paths
    )


def test_files_arrive_once_and_are_asked_for_honestly(server):
    paths = fetch(server, files=3)
    assert len(set(paths)) == 3 and whole(server, paths)
    assert len(server.asked) == 4
    assert all(agent.startswith("expression-leakage/") for _, _, agent, _ in server.asked)
    assert fetch(server, files=3) == paths
    assert len(server.asked) == 4, "nothing is asked for twice"
    paths[1].write_bytes(b"changed on disk")
    assert whole(server, fetch(server, files=3))
    assert len(server.asked) == 5


def test_a_sample_is_seeded_spread_over_segments_and_grows_by_adding(server):
    three, eight = commoncrawl.sample(NAMES, 3, 7), commoncrawl.sample(NAMES, 8, 7)
    assert eight[:3] == three
    assert commoncrawl.sample(NAMES[::-1], 8, 7) == eight
    assert commoncrawl.sample(NAMES, 8, 8) != eight
    segments = [name.split("/")[3] for name in eight]
    assert len(set(segments[:4])) == len(set(segments[4:])) == 4
    with pytest.raises(ValueError, match="21 requested, but the crawl has 20"):
        commoncrawl.sample(NAMES, 21, 7)


def test_a_busy_server_is_asked_again_after_the_pause_it_names(server):
    fetch(server)
    server.asked.clear()
    server.troubles = [
        (503, {"Retry-After": "1"}),
        (429, {}),
        (500, {"Retry-After": formatdate(usegmt=True)}),
    ]
    assert whole(server, fetch(server, files=2))
    times = [asked[3] for asked in server.asked]
    assert len(times) == 4
    assert times[1] - times[0] >= 1


def test_a_file_that_breaks_off_is_continued_where_it_broke(server):
    fetch(server)
    server.asked.clear()
    server.troubles = ["cut", "cut"]
    paths = fetch(server, files=2)
    assert whole(server, paths)
    length = len(CONTENT) + len(NAMES[0])
    spans = [span for _, span, _, _ in server.asked]
    assert spans == [None, f"bytes={length // 2}-", f"bytes={length // 2 + (length - length // 2) // 2}-"]
    assert not list(caching.cache_folder().rglob("*.part"))


@pytest.mark.parametrize("trouble", ["whole", None])
def test_a_part_that_cannot_be_continued_is_begun_anew(server, trouble):
    """A server that ignores Range; and a part that is longer than the file."""
    (path,) = fetch(server)
    path.unlink()
    part = path.with_name(path.name + ".part")
    part.write_bytes(CONTENT[:1000] if trouble else CONTENT * 2)
    server.troubles = [trouble]
    assert whole(server, fetch(server))


def test_403_is_met_by_one_rest_then_an_error(server):
    fetch(server)
    server.asked.clear()
    server.troubles = [(403, {})]
    assert whole(server, fetch(server, files=2))
    assert server.asked[1][3] - server.asked[0][3] >= commoncrawl.REFUSED_PAUSE
    server.asked.clear()
    server.troubles = [(403, {})] * 9
    with pytest.raises(PermissionError, match="asked to slow down"):
        fetch(server, files=3)
    assert len(server.asked) == 2


def test_404_is_an_error_at_once(server):
    with pytest.raises(FileNotFoundError, match=r"404.*no such crawl or file"):
        fetch(server, name="CC-MAIN-1999-01")
    assert len(server.asked) == 1


def test_the_deadline_ends_waiting_and_dripping(server):
    fetch(server)
    for trouble in ((503, {"Retry-After": "3600"}), "drip"):
        server.troubles, begun = [trouble], time.monotonic()
        with pytest.raises(OSError, match="run again later and it goes on where it was"):
            fetch(server, files=2, deadline=1.0)
        assert time.monotonic() - begun < 3
    assert whole(server, fetch(server, files=2)), "what was dripped is continued"


def test_tries_have_an_end(server):
    server.troubles = [(503, {})] * 99
    with pytest.raises(OSError, match="503"):
        fetch(server)
    assert len(server.asked) == commoncrawl.TRIES


@pytest.mark.parametrize(
    "listed",
    [b"<html>sign in</html>", gzip.compress(b"../../etc/passwd.gz", mtime=0), gzip.compress(b"", mtime=0)],
)
def test_what_is_no_list_of_paths_is_refused_and_not_kept(server, listed):
    server.files[f"/crawl-data/{CRAWL}/wet.paths.gz"] = listed
    with pytest.raises(OSError, match="not a list of WET files"):
        fetch(server)
    server.files[f"/crawl-data/{CRAWL}/wet.paths.gz"] = gzip.compress(NAMES[0].encode(), mtime=0)
    assert whole(server, fetch(server))


def test_a_crawls_name_is_checked(server):
    with pytest.raises(ValueError, match="'CC-2024' is not a crawl's name"):
        fetch(server, name="CC-2024")


def test_local_files_are_found_by_path_and_glob(tmp_path):
    for name in ("b.wet.gz", "a.wet.gz", "c.txt"):
        (tmp_path / name).touch()
    asked = [str(tmp_path / "*.wet.gz"), str(tmp_path / "a.wet.gz"), str(tmp_path / "missing.wet.gz")]
    assert [path.name for path in commoncrawl.local_files(asked)] == [
        "a.wet.gz",
        "b.wet.gz",
        "missing.wet.gz",
    ], "the reader counts what is missing"
    with pytest.raises(FileNotFoundError, match=r"x\*\.gz.*no such file"):
        commoncrawl.local_files([str(tmp_path / "x*.gz"), "missing.gz"])


def test_a_path_that_is_there_is_no_glob(tmp_path):
    folder = tmp_path / "it's [old] ö?"
    folder.mkdir()
    (folder / "a.wet.gz").touch()
    assert commoncrawl.local_files([str(folder / "a.wet.gz")]) == [folder / "a.wet.gz"]
