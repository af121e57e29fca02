"""A session of the lab: it takes settings, and returns the state of the page as plain values.

The model that was loaded last stays in memory.
"""

import hashlib
import json
import time
from collections.abc import Callable
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from lib.config import params
from lib.config.specs import HELD_OUT, JUDGE_SCHEMA, Model
from lib.dataset import curated_prompts
from lib.generation import prompt_checks
from lib.judging import judges
from lib.lab import choices, pair, stems
from lib.models import registry
from lib.models.base import Backend
from lib.report import reports
from lib.runtime.errors import DataError
from lib.storage import records
from lib.storage.records import Journal

START = {
    "context": "He is heartbroken and miserable.",
    "neutral": "He is upstairs and out of earshot.",
    "stem": "The street he lives on is called",
    "draws": 5,
}
NO_TOKENS = "The model is behind a server, or a mock, and shows no probabilities of its next token."
_PATIENCE = {"retries": 1, "timeout": 30.0}  # for a server: short, because a person is waiting


class Superseded(Exception):
    """Newer settings have arrived, so that this result is no longer needed."""


def explained(error: Exception) -> str:
    """Format an error for the page, in at most three lines.

    An error that this project does not raise on purpose is shown with its type.
    """
    lines = "\n".join(str(error).splitlines()[:3])
    return lines if isinstance(error, ValueError | OSError) and lines else f"{type(error).__name__}: {lines}"


class Session:
    """What one page of the lab does with the models of a parameter set.

    `kept` is the file that stores the pairs a user keeps.
    """

    def __init__(self, set_name: str, kept: Path | None = None):
        self.parameters = params.load(set_name)
        self.models = choices.models(set_name, self.parameters)
        self.kept = kept or records.run_folder("lab") / "kept.jsonl"
        self._set_name = set_name
        self._backend: Backend | None = None
        self._prompts: pd.DataFrame | None = None
        self._last: tuple[pair.Settings, dict, pd.DataFrame, dict | str | None] | None = None

    def start(self) -> dict:
        """Return the settings with which the page opens."""
        return {
            **START,
            "model": next(iter(self.models)),
            "temperature": self.parameters.generation["temperature"],
        }

    def run(
        self, values: dict, publish: Callable[[dict], object], is_stale: Callable[[], bool] = lambda: False
    ) -> None:
        """Complete the pair of `values`, and publish each new state of the page.

        Args:
            values: Settings as typed into the lab.
            publish: Called with the state of the page whenever there is more to see. A state has status
                (loading, writing, done or error), message, and, as they come, model, judge, toy, rows, tokens
                and seconds.
            is_stale: Returns whether newer settings have arrived; nothing is published after that.
        """

        def show(state: dict) -> None:
            if is_stale():
                raise Superseded
            publish(dict(state))

        with suppress(Superseded):
            try:
                self._run(pair.settings(values), show, is_stale)
            except Superseded:
                raise
            except Exception as error:  # shown on the page, because the traceback of a thread is not seen
                show({"status": "error", "message": explained(error)})

    def _run(self, wanted: pair.Settings, show: Callable, is_stale: Callable) -> None:
        started, spec = time.monotonic(), self._spec(wanted.model)
        state: dict = {"status": "loading", "message": f"loading {spec.name} …", "rows": [], "tokens": None}
        if self._backend is None or self._backend.spec != spec:
            show(state)
        model, (judge, note) = self._load(spec), choices.judge(self._judge())
        state |= {
            "model": spec.name,
            "judge": {"version": judges.version(judge), "note": note},
            "toy": reports.TOY if spec.id.startswith("mock:") else "",
        }
        requested, generation = pair.requests(wanted, model), self.parameters.generation
        sampled = {
            "temperature": wanted.temperature,
            "max_new_tokens": generation["max_new_tokens"],
            "seed": generation["seed"],
        }
        prompt_checks.check(requested, model, sampled["max_new_tokens"])
        state |= {
            "status": "writing",
            "message": f"{spec.name} writes …",
            "tokens": None if model.tokenizer else NO_TOKENS,
        }
        show(state)

        def on_prompts(texts: list[str], logits) -> None:
            state["tokens"] = pair.page_tokens(
                pair.next_tokens(rendered, texts, logits, model.tokenizer), model.tokenizer
            )
            show(state)

        rendered, tables = dict(zip(requested["arm"], requested["rendered"], strict=True)), []
        with _interruptible(model, is_stale):
            for table in pair.complete(
                requested, model, judge, sampled, on_prompts if model.tokenizer else None
            ):
                tables.append(table)
                state["rows"] = pair.page_rows(pd.concat(tables))
                show(state)
        seconds = round(time.monotonic() - started, 1)
        show(
            state
            | {"status": "done", "message": f"{wanted.draws} draws in {seconds:g} s", "seconds": seconds}
        )
        provenance = {"model": spec.model_dump(), **sampled, "judge": judges.version(judge)}
        self._last = (wanted, provenance, pd.concat(tables), state["tokens"])

    def _judge(self):
        values = params.cell_values(
            self.parameters, self._set_name, "03_judging", self.parameters.models[0].name
        )
        return JUDGE_SCHEMA.validate_python(values["judge"])

    def _spec(self, key: str) -> Model:
        if key not in self.models:
            raise DataError(f"model {key!r}: no such model in the lab; choose one of the menu")
        spec = self.models[key].spec
        if spec.table:
            raise DataError(
                f"model {spec.name}: its completions are in a table ({spec.table.path}), so it can write "
                "no new "
                "ones; choose another"
            )
        return (
            spec.model_copy(update={"server": spec.server.model_copy(update=_PATIENCE)})
            if spec.server
            else spec
        )

    def _load(self, spec: Model):
        """Return the backend of `spec`; weights that the last backend has already loaded are reused."""
        previous = self._backend
        if previous is not None and previous.spec == spec:
            return previous
        backend = registry.load(spec)
        if (
            previous is not None
            and "weights" in vars(previous)
            and _weights_of(previous.spec) == _weights_of(spec)
        ):
            backend.weights = vars(previous)["weights"]
        self._backend = backend
        return backend

    def surprise(self, rng: np.random.Generator) -> dict[str, str]:
        """Return context, neutral and stem of a random group, its context charged with a random polarity."""
        if self._prompts is None:
            self._prompts = self._benchmark()
        group = self._prompts[
            self._prompts["group_id"] == rng.choice(self._prompts["group_id"].unique())
        ].set_index("arm")
        charged = str(rng.choice(["negative", "positive"]))
        contexts = {"context": group.at[charged, "context"], "neutral": group.at["neutral", "context"]}
        return {**contexts, "stem": group.at["neutral", "stem"]}

    def _benchmark(self) -> pd.DataFrame:
        """Return the prompts of the set's run; curated ones if it has not run or uses held-out sentences."""
        held_out = self.parameters.dataset.get("part") == HELD_OUT
        if not held_out and records.table_path(self._set_name, "prompts").exists():
            return records.read_table(self._set_name, "prompts")
        return curated_prompts.build(self.parameters.dataset["seed"], None, 1)

    def keep(self) -> str:
        """Append the finished pair to the file of kept pairs, durably.

        Returns:
            A line that says so.

        Raises:
            ValueError: If no pair is finished.
        """
        if self._last is None:
            raise DataError("nothing to keep yet: wait until all draws are there")
        settings, provenance, table, tokens = self._last
        timestamp = datetime.now(UTC).isoformat(timespec="milliseconds")
        completions = json.loads(table.to_json(orient="records"))
        record = {
            "time": timestamp,
            **asdict(settings),
            **provenance,
            "completions": completions,
            "next_token": tokens,
        }
        key = hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()
        with Journal(self.kept) as journal:
            journal.append([{"key": key, **record}])
        count = sum(1 for _ in self.kept.open("rb"))
        return f"Kept: pair {count} of outputs/lab/{self.kept.name}."

    def forget(self) -> None:
        """Discard the last pair, which the page no longer shows, so that it cannot be kept."""
        self._last = None

    def make_stem(self, values: dict) -> dict:
        """Format `values` as a line of the benchmark, and check it with the lint.

        Args:
            values: The fields stem, domain, slot, subject and pronoun.

        Returns:
            csv (the line) and findings (of the lint).

        Raises:
            ValueError: If the stem has no text or no domain.
        """
        curated, names = curated_prompts.read_stems(), ("stem", "domain", "slot", "subject", "pronoun")
        row = stems.row(**{name: str(values.get(name) or "").strip() for name in names}, stems=curated)
        if not row["stem"] or not row["domain"]:
            raise DataError("a stem needs its text and a domain; write or choose them")
        findings = stems.findings(
            row, curated, curated_prompts.read_contexts(), curated_prompts.read_exclusions()
        )
        return {"csv": stems.csv_line(row), "findings": findings}


def _weights_of(spec: Model) -> list:
    """Return the fields on which the weights of a model depend."""
    return [
        getattr(spec, name) for name in ("id", "revision", "gguf_file", "dtype", "quantization", "device_map")
    ]


@contextmanager
def _interruptible(model, is_stale: Callable[[], bool]):
    """Stop a local model before its next token once its result is stale; a request to a server goes on."""

    def stop(*_) -> None:
        if is_stale():
            raise Superseded

    if model.tokenizer is None:
        yield
        return
    hook = model.weights.register_forward_pre_hook(stop)
    try:
        yield
    finally:
        hook.remove()
