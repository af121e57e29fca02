"""Where a result comes from is known with git and without it."""

import subprocess

import pytest

from lib.storage import provenance


def git(folder, *arguments) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    done = subprocess.run(
        ["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path):
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "code.py").write_text("1\n")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")
    return tmp_path


def test_a_tree_is_dirty_if_anything_but_a_result_has_changed(checkout):
    assert provenance.revision(checkout) == {"git": git(checkout, "rev-parse", "HEAD"), "dirty": False}
    (checkout / "outputs").mkdir()
    (checkout / "outputs" / "table").write_text("x")
    assert provenance.revision(checkout)["dirty"] is False
    (checkout / "lib" / "new.py").write_text("2\n")
    assert provenance.revision(checkout)["dirty"] is True


def test_a_folder_inside_a_checkout_of_something_else_has_no_revision(checkout):
    assert provenance.revision(checkout / "lib") == {"git": None, "dirty": None}


def test_without_git_there_is_no_revision_and_the_code_has_a_hash(checkout, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert provenance.revision(checkout) == {"git": None, "dirty": None}
    before = provenance.code_hash(checkout)
    (checkout / "lib" / "code.py").write_text("3\n")
    assert provenance.code_hash(checkout) != before
    assert provenance.lock_hash(checkout) is None


def test_the_execution_begins_with_the_first_values(tmp_path):
    assert provenance.execution(tmp_path)["begun"] is None
    (tmp_path / "values").mkdir()
    (tmp_path / "values" / "01_dataset.yaml").write_text("a: 1")
    found = provenance.execution(tmp_path)
    assert found["begun"] <= found["ended"] and found["cpu"] and found["cores"] >= 1


def test_what_is_published_of_a_run_is_no_table_of_it(tmp_path):
    for name in ("prompts.parquet", "completions/m.parquet", "published/dataset/claims.parquet", "notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = [path.relative_to(tmp_path).as_posix() for path in provenance.tables(tmp_path)]
    assert found == ["completions/m.parquet", "prompts.parquet"]
