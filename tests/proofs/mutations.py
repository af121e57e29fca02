"""Random mutations of bytes, texts, values and journals, for the fuzz test. All randomness is an argument."""

import copy
import json
import random

NASTY: list = [
    None,
    True,
    -1,
    0,
    10**30,
    1e308,
    float("nan"),
    float("inf"),
    "",
    " ",
    "\0",
    "../../evil",
    "/etc/passwd",
    "a" * 5000,
    "\ud83d",
    "\u202e\x1b[31m",
    "=1+1",
    "<script>alert(1)</script>",
    "{x} %s $HOME `id`",
    [],
    {},
    [[[]]],
    {"a": {"b": []}},
    ["x", 1, None],
]


def of_bytes(data: bytes, rng: random.Random) -> bytes:
    """Bytes flipped, cut, left out, doubled or put in, once to four times."""
    for _ in range(rng.randint(1, 4)):
        start = rng.randrange(len(data) + 1)
        end = min(start + rng.choice((1, 2, 8, 200)), len(data))
        piece = data[start:end]
        new = rng.choice((rng.randbytes(len(piece)), b"", piece * 2, bytes(len(piece)), b"\xff\xff\xff\x7f"))
        data = data[:start] if rng.random() < 0.1 else data[:start] + new + data[end:]
    return data


def of_text(text: str, rng: random.Random) -> str:
    """A text with other characters, or one of the nasty ones in it."""
    start, end = sorted(rng.randrange(len(text) + 1) for _ in range(2))
    nasty = [each for each in NASTY if isinstance(each, str)]
    new = rng.choice((*nasty, text[start:end] * 3, text[start:end].upper(), "Verdict: ", " | ", "```", "**"))
    return text[:start] + new + text[end:]


def of_values(values, rng: random.Random):
    """A value, at any depth, replaced by a nasty one, left out, or under another key."""
    values = copy.deepcopy(values)
    for _ in range(rng.randint(1, 3)):
        parent, key = rng.choice(_places(values) or [(None, None)])
        if parent is None:
            return rng.choice(NASTY)
        if rng.random() < 0.2:
            del parent[key]
        elif isinstance(parent, dict) and rng.random() < 0.2:
            parent[rng.choice(("x", "", "../x", f"{key}s", "\u00fc"))] = parent.pop(key)
        elif isinstance(parent[key], str) and rng.random() < 0.3:
            parent[key] = of_text(parent[key], rng)
        else:
            parent[key] = copy.deepcopy(rng.choice(NASTY))
    return values


def _places(values) -> list[tuple]:
    """Every place in nested values, as its container and its key there."""
    pairs = (
        values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ()
    )
    return [place for key, value in pairs for place in ((values, key), *_places(value))]


def of_journal(lines: list[bytes], rng: random.Random) -> bytes:
    """A journal of which one record is mutated, doubled, left out or torn, or any bytes are others."""
    number = rng.randrange(len(lines))
    line = lines[number]
    kind = rng.choice(("values", "bytes", "twice", "gone", "torn", "foreign"))
    if kind == "bytes":
        return of_bytes(b"".join(lines), rng)
    if kind == "torn":
        return b"".join(lines)[: -rng.randrange(1, len(lines[-1]))]
    deep = b'{"key": ' + b"[" * rng.choice((3, 100_000)) + b"\n"
    new = {
        "values": lambda: json.dumps(of_values(json.loads(line), rng)).encode() + b"\n",
        "twice": lambda: line * 2,
        "gone": lambda: b"",
        "foreign": lambda: rng.choice((b"null\n", b"[]\n", b"7\n", b"\n", b"{}\n", b"\xff\xfe\n", deep)),
    }[kind]()
    return b"".join([*lines[:number], new, *lines[number + 1 :]])
