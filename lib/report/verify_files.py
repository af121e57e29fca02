"""Verify a run against its manifest: hashes of files, versions, seeds and models."""

from pathlib import Path

from lib.config import params, specs
from lib.report import manifest
from lib.report.differences import Check, Difference, of_values, skipped
from lib.storage import caching, provenance, records

_FILES, _MADE_BY = "files against the manifest", "versions, seeds and models against the manifest"
NO_MANIFEST = (
    "there is no manifest.json: a committed run keeps neither its manifest nor its tables; "
    "`make reproduce` makes both"
)


def checks(set_name: str) -> list[Check]:
    """Compare every file of a run, and what made it, with its manifest."""
    found = manifest.read(set_name)
    if found is None:
        if records.run_folder(set_name).joinpath("judgements").exists():
            file = f"outputs/{set_name}/{manifest.FILE}"
            lack = Difference(file, "", "missing", "a manifest", _remedy(set_name))
            return [Check(_FILES, 0, "files", (lack,))]
        return [skipped(_FILES, NO_MANIFEST), skipped(_MADE_BY, NO_MANIFEST)]
    return [_files(set_name, found), _made_by(set_name, found)]


def _remedy(set_name: str) -> str:
    return f"restore it, or make reproduce SET={set_name}"


def _files(set_name: str, found: dict) -> Check:
    folder, remedy = records.run_folder(set_name), _remedy(set_name)
    expected = {f"outputs/{set_name}/{name}": digest for name, digest in _recorded(found).items()}
    expected |= {f"params/{set_name}.yaml": found["parameters"]} | found.get("inputs", {})
    differences = [
        Difference(name, "SHA-256", _digest(specs.ROOT / name), recorded and recorded[:12], remedy)
        for name, recorded in expected.items()
        if _digest(specs.ROOT / name) != (recorded and recorded[:12])
    ]
    present = [*provenance.tables(folder), *folder.glob("executed/*.ipynb")]
    names = [f"outputs/{set_name}/{path.relative_to(folder).as_posix()}" for path in sorted(present)]
    if "outputs" not in found:
        names = [name for name in names if name.endswith(".parquet")]
    differences += [
        Difference(name, "", "a file", "none in the manifest", f"remove it, or {remedy}")
        for name in names
        if name not in expected
    ]
    older = "" if "outputs" in found else "an older version wrote the manifest, which names tables alone"
    return Check(_FILES, len(expected), "files", tuple(differences), older)


def _recorded(found: dict) -> dict[str, str]:
    return found["tables"] | found.get("outputs", {})


def _digest(path: Path) -> str | None:
    return caching.sha256(path)[:12] if path.is_file() else None


def _made_by(set_name: str, found: dict) -> Check:
    """Compare versions, seeds and models with those of the present code; what changed besides is a reason."""
    if "versions" not in found or "seeds" not in found:
        return skipped(_MADE_BY, "an older version wrote the manifest, which does not name them")
    parameters = params.load(set_name)
    now: dict[str, dict] = {
        "versions": manifest.versions(parameters),
        "seeds": manifest.seeds(parameters),
        "models": manifest.models(parameters),
    }
    gone = [name for name, what in now["models"].items() if "not found" in what]
    now["models"] = {name: what for name, what in now["models"].items() if name not in gone}
    stored = {key: found[key] for key in now}
    stored["models"] = {name: what for name, what in stored["models"].items() if name not in gone}
    differences = of_values(f"outputs/{set_name}/{manifest.FILE}", stored, now, _remedy(set_name))
    reasons = [f"model {name} is not found on this machine" for name in gone]
    code = manifest.code()
    if found["code"]["sha256"] != code["sha256"]:
        reasons.append("the code has changed since the run, so what follows is recomputed by other code")
    if found["lock"] != manifest.lock():
        reasons.append("requirements.txt has changed since the run")
    count = sum(len(part) for part in now.values())
    return Check(_MADE_BY, count, "values", tuple(differences), "; ".join(reasons))
