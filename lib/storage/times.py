"""How long jobs took on this machine, cached for the estimates of later runs (`lib.cli.eta`)."""

import json
import platform
from contextlib import suppress
from pathlib import Path

from lib.runtime.cores import available_cores
from lib.storage import caching, records


class Times:
    """The size and the seconds of the last job of each kind, by key.

    `of` returns what was known at the start, whatever `keep` adds.
    """

    def __init__(self):
        self._path = caching.cache_folder() / f"times-{platform.node()}-{available_cores()}.json"
        self._known = _read(self._path)

    def of(self, key: str) -> tuple[float, float] | None:
        """Size and seconds of the last job with this key."""
        return tuple(self._known[key]) if key in self._known else None

    def keep(self, key: str, size: float, seconds: float) -> None:
        """Save the size and seconds of a job, if the disk has room."""
        with suppress(OSError):
            records.write_text(self._path, json.dumps(_read(self._path) | {key: [size, seconds]}, indent=1))


def _read(path: Path) -> dict:
    """The entries of a file; none if it is missing or damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return (
        {key: value for key, value in content.items() if _is_time(value)} if isinstance(content, dict) else {}
    )


def _is_time(value) -> bool:
    numbers = (
        isinstance(value, list)
        and len(value) == 2
        and all(isinstance(number, int | float) for number in value)
    )
    return numbers and min(value) > 0
