"""Read the JSON members of a zip archive, within limits and without unpacking anything to disk.

Members are stored, deflated, or compressed with Zstandard, which Inspect prefers and which Python's zipfile
reads from 3.14 on; here the codec of pyarrow decompresses them. A size that the archive states is not
trusted: reading stops at the limit, whatever is stated.
"""

import json
import struct
import zipfile
import zlib
from pathlib import Path
from typing import IO

import pyarrow

from lib.runtime.errors import DataError

MEMBER_LIMIT = 64 * 2**20  # bytes of one member once it is decompressed
ARCHIVE_LIMIT = 8 * 2**30  # bytes of all members read, once they are decompressed
_ZSTANDARD = 93  # method 93 of the zip format
_LOCAL_HEADER = struct.Struct("<4s22xHH")  # signature, then the lengths of the name and of the extra field


class Archive:
    """A zip archive of JSON files; of members with the same name, the last counts, as for the writer.

    It is used as `with Archive(path) as archive`.

    Raises:
        DataError: If the file is no whole zip archive.
    """

    def __init__(self, path: Path):
        self._budget = ARCHIVE_LIMIT
        try:
            self._zip = zipfile.ZipFile(path)
        except zipfile.BadZipFile:
            raise DataError(
                "it is no whole zip archive: it was not written or copied to its end; copy it again, or "
                "recover it with the tool that wrote it (inspect log recover)"
            ) from None
        self._members = {member.filename: member for member in self._zip.infolist()}

    def __enter__(self) -> "Archive":
        return self

    def __exit__(self, *exception) -> None:
        self._zip.close()

    def names(self) -> list[str]:
        """The names of the members, in the order of the archive."""
        return list(self._members)

    def json(self, name: str):
        """The content of a member.

        Raises:
            DataError: If it is damaged, no JSON, or larger than the limits; the message names the member.
        """
        try:
            content = self._bytes(self._members[name])
        except (
            zipfile.BadZipFile,
            zlib.error,
            OSError,
            EOFError,
            NotImplementedError,
            RuntimeError,
        ) as error:
            raise DataError(f"its member {name} is damaged ({error}); make or copy the file again") from None
        try:
            return json.loads(content)
        except (ValueError, RecursionError) as error:
            raise DataError(f"its member {name} is no JSON ({error}); make or copy the file again") from None

    def _bytes(self, member: zipfile.ZipInfo) -> bytes:
        limit = min(MEMBER_LIMIT, self._budget)
        with self._opened(member) as stream:
            content = stream.read(limit + 1)
        if len(content) > limit:
            raise DataError(
                f"its member {member.filename} holds more than {limit // 2**20} MiB, and no reply is that "
                "long; check where the file comes from, or write the log again without events"
            )
        self._budget -= len(content)
        if member.compress_type == _ZSTANDARD and zlib.crc32(content) != member.CRC:
            raise zipfile.BadZipFile("its checksum differs")
        return content

    def _opened(self, member: zipfile.ZipInfo) -> IO[bytes]:
        """The decompressed content as a stream."""
        if member.compress_type != _ZSTANDARD:
            return self._zip.open(member)
        file = self._zip.fp
        assert file is not None
        file.seek(member.header_offset)
        signature, name_length, extra_length = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
        if signature != b"PK\x03\x04":
            raise zipfile.BadZipFile("no header at its place")
        file.seek(name_length + extra_length, 1)
        compressed = file.read(member.compress_size)
        return pyarrow.CompressedInputStream(pyarrow.BufferReader(compressed), "zstd")
