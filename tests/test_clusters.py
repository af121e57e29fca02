"""What the page on clusters tells exists: its commands, its set, the options of the profile, its figures."""

import re
import shlex

import pytest
import yaml
from snakemake.cli import get_argument_parser

from lib.config import params
from lib.models import huggingface, registry
from tests.benches import bench_mining
from tests.conftest import ROOT, generation

PAGE = (ROOT / "params" / "README.md").read_text(encoding="utf-8").partition("\n## Clusters\n")[2]
OPTIONS = get_argument_parser()
PROFILE = yaml.safe_load((ROOT / "params" / "profiles" / "slurm" / "config.yaml").read_text())


def test_its_commands_of_make_are_targets():
    makefile = (ROOT / "Makefile").read_text()
    named = set(re.findall(r"`make ([\w-]+)", PAGE))
    assert {"reproduce", "bench-mining", "verify-slurm"} <= named
    assert named <= set(re.findall(r"^([\w-]+):", makefile, re.MULTILINE))
    assert "$(call given,PROFILE,profile)" in makefile


def test_its_commands_of_snakemake_are_understood():
    commands = re.findall(r"`\.venv/bin/python -m snakemake ([^`]+)`", PAGE)
    assert commands
    for command in commands:
        given = OPTIONS.parse_args(shlex.split(command.replace("<set>", "mine")))
        assert (list(given.targets), str(given.cores)) == (["outputs/mine/prompts.parquet"], "1")


def test_its_set_is_one(project):
    path = project / "params" / "commoncrawl.yaml"
    values = yaml.safe_load(path.read_text())
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    path.write_text(yaml.safe_dump(values | yaml.safe_load(block)))
    assert params.load("commoncrawl").models[0].shards == 16
    mining = params.dataset("commoncrawl").mining
    assert mining.executor == "slurm" and mining.source.files == 200


@pytest.mark.parametrize("key", [key for key in PROFILE if not key.startswith("slurm-")])
def test_the_profile_holds_options_of_snakemake(key):
    assert f"--{key}" in OPTIONS._option_string_actions


def test_what_it_tells_of_a_whole_crawl_follows_from_the_rates():
    least, most = map(float, re.search(r"reads ([\d.]+) to ([\d.]+) MB", PAGE).groups())
    low, high = map(float, re.search(r"takes (\d+) to (\d+) core-hours", PAGE).groups())
    megabytes = bench_mining.FILES * bench_mining.FILE_MB
    assert f"{bench_mining.FILES:,}" in PAGE and f"{bench_mining.FILE_MB} MB" in PAGE
    assert megabytes / most / 3600 == pytest.approx(low, abs=5)
    assert megabytes / least / 3600 == pytest.approx(high, abs=5) and high / 64 < 6


@pytest.mark.parametrize("device_map", ["auto", "balanced", "sequential", "cpu"])
def test_a_set_says_how_a_model_is_divided(tiny, monkeypatch, device_map):
    model = registry.load(generation(model={"id": str(tiny), "device_map": device_map}).model)
    asked = {}

    def load(bytes_of, **options):
        asked.update(options)
        raise InterruptedError

    monkeypatch.setattr(model.files, "weights", load)
    with pytest.raises(InterruptedError):
        _ = model.weights
    assert asked["device_map"] == device_map
    assert isinstance(model, huggingface.HuggingFaceModel)
