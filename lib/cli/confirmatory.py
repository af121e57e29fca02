"""The parameter set of a confirmatory run: an exploratory set's values, on sentences that are held out and
with new seeds.

What is new follows from a rule, so that nothing is left to choose after a look: `dataset.part` is held_out,
both seeds are one more, each stem meets GROUPS_PER_STEM matches, or as many as the exclusions allow. The rest
is frozen, the rules with it.
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
from lib.storage import records

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
_FREE = {  # what decides nothing, by section, and may change
    "dataset": {"variance_source"},
    "generation": {"batch_size", "workers", "max_working_memory_gb"},
}
_FROZEN = ("models", "mitigations", "dataset", "generation", "judging", "agreement", "scaling", "mitigation")


def name_of(set_name: str) -> str:
    """The name of the confirmatory set of an exploratory one."""
    return f"{set_name}{SUFFIX}"


def values(set_name: str) -> dict:
    """The confirmatory set of an exploratory one, as YAML would give it.

    ParameterError if nothing is held out, or less than its stems take.
    """
    told = _read(set_name)
    dataset = told["dataset"] | {"part": HELD_OUT, "seed": told["dataset"]["seed"] + 1}
    told["dataset"] = dataset | {"contexts_per_stem": _groups_per_stem(set_name, dataset)}
    told["generation"] |= {"seed": told["generation"]["seed"] + 1}
    told |= {
        "title": f"{told['title']}, confirmatory",
        "confirms": {"set": set_name, "rules": rules.RULES_VERSION},
    }
    return {key: told[key] for key in params.ParameterSet.model_fields if key in told}


def _read(set_name: str) -> dict:
    params.load(set_name)
    return yaml.safe_load(_path(set_name).read_text(encoding="utf-8"))


def _path(set_name: str) -> Path:
    return specs.ROOT / "params" / f"{set_name}.yaml"


def _groups_per_stem(set_name: str, dataset: dict) -> int:
    """GROUPS_PER_STEM, or as many as every stem may meet; ParameterError where no design is possible."""
    run = params.from_cell("01_dataset", {**dataset, "set_name": set_name, "is_mock": False})
    sentences = own_sentences.read(run)
    stems, matches = (
        curated_prompts.select(sentences.stems, run.stems),
        sorted(sentences.contexts["match_id"].unique()),
    )
    most = int(assignment.allowed(stems, matches, sentences.exclusions).sum(axis=1).min())
    groups = max(1, min(GROUPS_PER_STEM, most))
    curated_prompts.design(run.seed, run.stems, groups, run.first_groups, sentences)
    return groups


def check(set_name: str) -> None:
    """ParameterError if a set is none that can be confirmed, or its board is not that of the code and set of
    today."""
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
    again = f"make reproduce SET={set_name}"
    if not power.finished(set_name):
        raise ParameterError(
            f"SET={set_name} has no finished run of its own to confirm: outputs/{set_name}/manifest.json is "
            f"missing\n{again}, first"
        )
    made_of = json.loads((records.run_folder(set_name) / "manifest.json").read_text(encoding="utf-8"))
    if made_of["parameters"] != records.sha256(_path(set_name)):
        raise ParameterError(
            f"{place} has changed since its run, so its board is of other values\n{again}, first"
        )
    if (version := rules_of(set_name)) != rules.RULES_VERSION:
        raise ParameterError(
            f"SET={set_name}: its board was made under {version}, and the rules of the code are "
            f"{rules.RULES_VERSION}\n{again}, first"
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
    """ParameterError if the rules, or the values of the set that the confirmatory set `name` confirms, are
    not as was frozen."""
    confirms = params.load(name).confirms
    frozen, now = _read(name), values(confirms.set)
    changed = (
        [] if confirms.rules == rules.RULES_VERSION else [f"{confirms.rules}, now {rules.RULES_VERSION}"]
    )
    for section in _FROZEN:
        changed += _differences(section, frozen.get(section), now.get(section))
    if not changed:
        return
    if any((records.run_folder(name) / left).exists() for left in ("judgements", "headline.csv")):
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
    """What differs between a section as it was frozen and as it would be today, in words."""
    if section not in ("models", "mitigations"):
        keys = [key for key in {**frozen, **now} if key not in _FREE.get(section, ())]
        return [
            f"{section}.{key} {frozen.get(key)!r}, now {now.get(key)!r}"
            for key in keys
            if frozen.get(key) != now.get(key)
        ]
    return [] if frozen == now else [f"{section} {frozen!r}, now {now!r}"]


def prepared(set_name: str) -> tuple[str, bool]:
    """The name of a set's confirmatory set, written if it is not there, and whether it was written now.

    ParameterError if it is there and not as was frozen, or is something else.
    """
    name, path = name_of(set_name), _path(name_of(set_name))
    if path.exists():
        confirms = params.load(name).confirms
        if confirms is None or confirms.set != set_name:
            of = f"confirms {confirms.set}" if confirms else "is no confirmatory set"
            raise ParameterError(f"params/{name}.yaml is in the way: it {of}; call it otherwise")
        check_frozen(name)
        return name, False
    told = values(set_name)
    body = yaml.safe_dump(told, sort_keys=False, allow_unicode=True, width=120)
    records.write_text(path, _HEAD.format(of=set_name) + body)
    try:
        params.load(name)
    except ParameterError:
        path.unlink()
        raise
    return name, True
