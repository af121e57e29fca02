"""Fetched files: nothing wrong is taken, and a failure says what to do."""

import os

import pytest

from lib import packages

REQUIREMENT = "vaderSentiment==3.3.2"
NAME = packages.PACKAGES[REQUIREMENT][0]


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("EXPRESSION_LEAKAGE_CACHE", str(tmp_path / "deep" / "cache"))
    return packages.cache_folder()


def test_the_cache_is_where_the_environment_says(cache, tmp_path):
    assert cache == tmp_path / "deep" / "cache"
    assert cache.is_dir()


def test_sha256_is_the_published_one_of_abc(tmp_path):
    (tmp_path / "abc").write_bytes(b"abc")  # test vector of FIPS 180-2
    assert packages.sha256(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_an_archive_with_a_wrong_hash_is_refused(cache):
    (cache / NAME).write_bytes(b"not what was published")
    with pytest.raises(ValueError, match="SHA-256 is not that of vaderSentiment==3.3.2") as refused:
        packages.fetch(REQUIREMENT)
    assert str(cache / NAME) in str(refused.value)
    assert "delete the file and run again" in str(refused.value)


def test_an_archive_at_hand_is_taken_without_asking_the_index(cache, monkeypatch):
    (cache / NAME).write_bytes(b"abc")
    monkeypatch.setitem(packages.PACKAGES, REQUIREMENT, (NAME, packages.sha256(cache / NAME)))
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("sys.executable", "/no/python")
    assert packages.fetch(REQUIREMENT) == cache / NAME


def test_without_an_index_the_error_names_requirement_reason_and_remedy(cache, monkeypatch):
    for name in ("PIP_FIND_LINKS", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    with pytest.raises(OSError, match="could not fetch") as failed:
        packages.fetch(REQUIREMENT)
    message = str(failed.value)
    assert message.startswith(REQUIREMENT)
    assert "No matching distribution found" in message
    assert f"put {NAME} into {cache}" in message
    assert len(message.splitlines()) <= 3
    assert [path.name for path in cache.iterdir()] == [f"{NAME}.lock"]
