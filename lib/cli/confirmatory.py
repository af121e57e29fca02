"""Build the parameter set of a confirmatory run: held-out sentences and new seeds, all else frozen.

A rule determines what is new, so that nothing is left to choose after looking at results: `dataset.part` is
held_out, both seeds are increased by one, and each stem meets GROUPS_PER_STEM matches, or as many as the
exclusions allow. All other values are frozen, and so are the rules of the claims board.
"""

import json
from pathlib import Path

import pandas as pd
import yaml

from lib.analysis import power
from lib.claims import rules
from lib.config import params, specs
from lib.config.specs import HELD_OUT, ParameterError
from lib.dataset import assignment, curated_prompts, own_sentences
from lib.storage import caching, records

GROUPS_PER_STEM = 3
SUFFIX = "_confirmatory"
_HEAD = """# Written by `make confirm SET={of}`, which runs it, once. As {of}.yaml, but for
# sentences that are held out and new seeds (one more each); confirms names the rules that were frozen. Change
# nothing here: changed rules confirm nothing.
"""
_OTHERS = {
    "mining": "mined prompts",
    "published_prompts": "published prompts",
    "stems_file": "own stems",
    "contexts_file": "own contexts",
}
_FREE = {  # by section, keys that decide nothing and may change
    "dataset": {"variance_source"},
    "generation": {"batch_size", "workers", "max_working_memory_gb"},
}
_FROZEN = ("models", "mitigations", "dataset", "generation", "judging", "agreement", "scaling", "mitigation")


def name_of(set_name: str) -> str:
    """The name of the confirmatory set of an exploratory set."""
    return f"{set_name}{SUFFIX}"


def values(set_name: str) -> dict:
    """The values of the confirmatory set of an exploratory set, as its YAML file holds them.

    Raises:
        ParameterError: If nothing is held out, or less than the stems of the set require.
    """
    config = _read(set_name)
    dataset = config["dataset"] | {"part": HELD_OUT, "seed": config["dataset"]["seed"] + 1}
    config["dataset"] = dataset | {"contexts_per_stem": _groups_per_stem(set_name, dataset)}
    config["generation"] |= {"seed": config["generation"]["seed"] + 1}
    config |= {
        "title": f"{config['title']}, confirmatory",
        "confirms": {"set": set_name, "rules": rules.RULES_VERSION},
    }
    return {key: config[key] for key in params.ParameterSet.model_fields if key in config}


def _read(set_name: str) -> dict:
    params.load(set_name)
    return yaml.safe_load(_path(set_name).read_text(encoding="utf-8"))


def _path(set_name: str) -> Path:
    return specs.ROOT / "params" / f"{set_name}.yaml"


def _groups_per_stem(set_name: str, dataset: dict) -> int:
    """GROUPS_PER_STEM, or as many as every stem may meet; ParameterError if no design is possible."""
    run = params.from_cell("01_dataset", {**dataset, "set_name": set_name, "is_mock": False})
    sentences = own_sentences.read(run)
    stems, matches = (
        curated_prompts.select(sentences.stems, run.stems),
        sorted(sentences.contexts["match_id"].unique()),
    )
    max_groups = int(assignment.allowed(stems, matches, sentences.exclusions).sum(axis=1).min())
    groups = max(1, min(GROUPS_PER_STEM, max_groups))
    curated_prompts.design(run.seed, run.stems, groups, run.first_groups, sentences)
    return groups


def check(set_name: str) -> None:
    """Check that a set can be confirmed, and that its board belongs to the current code and parameters.

    Raises:
        ParameterError: If the set is confirmatory itself, uses sentences of which none are held out, has no
            finished run, or has changed since its run, or if its board was made under other rules. The
            message says what to do.
    """
    parameters = params.load(set_name)
    place = f"SET={set_name}: params/{set_name}.yaml"
    if parameters.confirms:
        raise ParameterError(
            f"{place}: is itself confirmatory; give SET={parameters.confirms.set}, the set that it confirms"
        )
    if other := next((key for key in _OTHERS if parameters.dataset.get(key) is not None), None):
        raise ParameterError(
            f"{place}: dataset.{other}: nothing is held out of {_OTHERS[other]}; give a set of the curated "
            "sentences, as embedded"
        )
    command = f"make reproduce SET={set_name}"
    if not power.finished(set_name):
        raise ParameterError(
            f"SET={set_name} has no finished run of its own to confirm: outputs/{set_name}/manifest.json is "
            f"missing\n{command}, first"
        )
    manifest = json.loads((records.run_folder(set_name) / "manifest.json").read_text(encoding="utf-8"))
    if manifest["parameters"] != caching.sha256(_path(set_name)):
        raise ParameterError(
            f"{place} has changed since its run, so its board is of other values\n{command}, first"
        )
    if (version := rules_of(set_name)) != rules.RULES_VERSION:
        raise ParameterError(
            f"SET={set_name}: its board was made under {version}, and the rules of the code are "
            f"{rules.RULES_VERSION}\n{command}, first"
        )


def rules_of(set_name: str) -> str:
    """The version of the rules under which the board of a finished run was made."""
    board = pd.read_csv(records.run_folder(set_name) / "headline.csv")
    return (
        ", ".join(sorted(set(board["rules"])))
        if "rules" in board
        else "rules whose version was not recorded yet"
    )


def check_frozen(name: str) -> None:
    """Check that the rules, and the values of the confirmed set, are still as they were frozen.

    Args:
        name: The confirmatory set.

    Raises:
        ParameterError: If the rules or the values of the set that `name` confirms have changed.
    """
    confirms = params.load(name).confirms
    assert confirms is not None
    frozen, now = _read(name), values(confirms.set)
    changed = (
        [] if confirms.rules == rules.RULES_VERSION else [f"{confirms.rules}, now {rules.RULES_VERSION}"]
    )
    for section in _FROZEN:
        changed += _differences(section, frozen.get(section), now.get(section))
    if not changed:
        return
    if any((records.run_folder(name) / output).exists() for output in ("judgements", "headline.csv")):
        remedy = (
            f"its sentences have been seen (outputs/{name}): go back to what was frozen, or hold out "
            "new stems and contexts"
        )
    else:
        remedy = (
            f"go back to what was frozen, or, as nothing is judged yet, remove params/{name}.yaml and "
            "call again"
        )
    raise ParameterError(
        f"params/{name}.yaml: rules have changed since: {'; '.join(changed)[:300]}\n{remedy}"
    )


def _differences(section: str, frozen, now) -> list[str]:
    """Describe the differences between a section as frozen and as it would be built today."""
    if section not in ("models", "mitigations"):
        keys = [key for key in {**frozen, **now} if key not in _FREE.get(section, ())]
        return [
            f"{section}.{key} {frozen.get(key)!r}, now {now.get(key)!r}"
            for key in keys
            if frozen.get(key) != now.get(key)
        ]
    return [] if frozen == now else [f"{section} {frozen!r}, now {now!r}"]


def prepared(set_name: str) -> tuple[str, bool]:
    """Write the confirmatory set of a set, unless it exists.

    Returns:
        Its name, and whether it was written by this call.

    Raises:
        ParameterError: If it exists and differs from what was frozen, or is something else.
    """
    name, path = name_of(set_name), _path(name_of(set_name))
    if path.exists():
        confirms = params.load(name).confirms
        if confirms is None or confirms.set != set_name:
            description = f"confirms {confirms.set}" if confirms else "is no confirmatory set"
            raise ParameterError(f"params/{name}.yaml is in the way: it {description}; call it otherwise")
        check_frozen(name)
        return name, False
    config = values(set_name)
    body = yaml.safe_dump(config, sort_keys=False, allow_unicode=True, width=120)
    records.write_text(path, _HEAD.format(of=set_name) + body)
    try:
        params.load(name)
    except ParameterError:
        path.unlink()
        raise
    return name, True
