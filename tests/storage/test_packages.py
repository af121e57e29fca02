"""Fetched files: nothing wrong is taken, and a failure says what to do."""

import os
import zipfile

import pytest

from lib.storage import caching, packages

REQUIREMENT = "vaderSentiment==3.3.2"
NAME = packages.PACKAGES[REQUIREMENT][0]


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("EXPRESSION_LEAKAGE_CACHE", str(tmp_path / "deep" / "cache"))
    return caching.cache_folder()


def test_an_archive_with_a_wrong_hash_is_refused(cache):
    (cache / NAME).write_bytes(b"not what was published")
    with pytest.raises(ValueError, match="delete the file and run again") as refused:
        packages.fetch(REQUIREMENT)
    assert str(refused.value).startswith(f"{cache / NAME}: its SHA-256 is not that of {REQUIREMENT}")


def test_without_an_index_the_error_names_requirement_reason_and_remedy(cache, monkeypatch):
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    with pytest.raises(OSError, match="No matching distribution found") as failed:
        packages.fetch(REQUIREMENT)
    message = str(failed.value)
    assert message.startswith(REQUIREMENT)
    assert f"put {NAME} into {cache}" in message
    assert len(message.splitlines()) <= 3
    assert [path.name for path in cache.iterdir()] == [f"{NAME}.lock"]


def test_a_wheel_of_another_platform_is_fetched_as_it_is_named(cache, tmp_path, monkeypatch):
    name = "alien-1.0-cp39-cp39-manylinux_2_5_s390x.manylinux1_s390x.whl"
    with zipfile.ZipFile(tmp_path / name, "w") as wheel:
        wheel.writestr("alien-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: alien\nVersion: 1.0\n")
        wheel.writestr("alien-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\n")
        wheel.writestr("alien-1.0.dist-info/RECORD", "")
    monkeypatch.setitem(
        packages.PACKAGES, "alien==1.0", packages.Package(name, caching.sha256(tmp_path / name), "a licence")
    )
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    assert packages.fetch("alien==1.0") == cache / name
    (tmp_path / name).unlink()
    assert packages.fetch("alien==1.0").exists(), "the cached file is taken"


def test_what_pip_removes_while_its_bytes_are_counted_does_not_stop_the_download(tmp_path, monkeypatch):
    for name in ("going", "staying"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_bytes(b"12345")
    look = os.scandir

    def scandir(path):
        if os.fspath(path).endswith("going"):
            raise FileNotFoundError(path)
        return look(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert packages._size(tmp_path) == 5
