"""Completions from elsewhere, looked up in a file instead of asking a model.

The file has these columns, under these names or under those that the model's `table.columns` gives:

- `completion`: The text after the prompt. It is cut after its first sentence like any other.
- `outcome`: One of lib.replies.outcomes.OUTCOMES where the tool knew it (`refused`, `filtered`, `failed`, …),
  and `note`, the reason. If it is empty, or without this column, the text decides. A row may lack a
  completion if its outcome says that there is no answer.
- `prompt_id` as in prompts.parquet or, without it, `prompt`: the column `text` of prompts.parquet, white
  space ignored.
- `mitigation`: Name of the mitigation, "none" or empty for the bare prompt. Without this column all prompts
  are bare. If a mitigation has several wordings, each group of prompts is asked in the one that
  `lib.config.mitigation_texts.of_group` returns. The column `wording`, from 1 on and empty for the bare
  prompt, must then hold that number. Without it the answers are assumed to use that wording, and a message
  says so.
- `sample_index`: 0, 1, … within prompt and mitigation. Without this column it is the order of appearance.

A log of lm-evaluation-harness or Inspect, of the tasks that `make export` writes, takes the place of such a
file as it is (lib.models.evaluation_logs). Its prompts are compared with prompts.parquet.

An empty text is a completion with the outcome `empty`; null or a blank cell of a sheet is a missing
completion. CSV, and xlsx as pandas writes it, cannot distinguish the two: a blank is an empty text there.
"""

import json
from collections import Counter
from typing import NoReturn

import pandas as pd

from lib.config import mitigation_texts, specs
from lib.config.specs import NO_MITIGATION, Model, ParameterError, nearest
from lib.models import evaluation_logs
from lib.models.base import Backend, no_progress
from lib.replies import outcomes
from lib.replies.reply import Reply
from lib.runtime import progress
from lib.runtime.errors import DataError
from lib.storage import packages, tables

_COLUMNS = ("prompt_id", "prompt", "mitigation", "sample_index", "completion", "outcome", "note", "wording")
_OUTCOMES = ("", *outcomes.OUTCOMES)
_MISSING = tuple(name for name in outcomes.OUTCOMES if name not in outcomes.USABLE)
_KEY = ["prompt", "mitigation", "sample_index"]


class Precomputed(Backend):
    """The completions of `spec.table`.

    Raises:
        ParameterError: If the file or its content is not as the module docstring says; the message names the
            rows.
    """

    def __init__(self, spec: Model):
        assert spec.table is not None
        self.spec, self.parameters, self.table = spec, spec.parameters, spec.table
        self.path = specs.ROOT / self.table.path
        self._log: evaluation_logs.Log | None = None
        self.rows = self._with_samples(self._under_our_names(self._read()))
        self._refuse_repeated()
        self._replies = dict(zip(_keys(self.rows), map(_reply, self.rows.to_dict("records")), strict=True))
        self.fingerprint = json.dumps(
            {"table": packages.sha256(self.path), "columns": self.table.columns}, sort_keys=True
        )

    def render(self, context: str, stem: str, mitigation: str) -> str:
        """Render the plain text of the prompt."""
        return mitigation_texts.placed(mitigation, context, stem).plain

    def reply(
        self, requests: pd.DataFrame, temperature: float, max_new_tokens: int, seed: int, progress=no_progress
    ) -> list[Reply]:
        """One Reply for each row of `requests`; its tokens are counted in words.

        Each reply has ended unless its outcome is `truncated`, because a text without a sentence end does not
        show whether it was cut off.

        Raises:
            ParameterError: If the file lacks one.
        """
        self._refuse_missing(requests)
        progress(len(requests))
        return [self._replies[key] for key in self._sought(requests)]

    def check(self, requested: pd.DataFrame) -> None:
        """Check that the file holds everything in `requested` (`runner.requests`).

        A message reports how many completions are unused or empty, and how many are missing by their outcome.

        Raises:
            ParameterError: If the file lacks a requested completion, or holds an unknown prompt or mitigation
                or the wrong wording.
        """
        self.check_sentences(requested)
        wanted = pd.DataFrame(self._sought(requested), columns=_KEY)
        self._refuse_foreign(
            "prompt",
            wanted,
            f"is not in prompts.parquet (compared by {self.by})",
            "take them out, or run 01_dataset with the seed and stems they were made for",
        )
        self._refuse_foreign(
            "mitigation",
            wanted,
            "is not a mitigation asked of this model",
            "see mitigations, mitigation_samples, and mitigate of the model",
        )
        self._refuse_missing(requested)
        self._check_wordings(wanted.assign(wording=requested["wording"].to_numpy()))
        used = [self._replies[key] for key in set(_keys(wanted))]
        left_over = len(self._replies) - len(used)
        empty = sum(not (reply.outcome or reply.text.strip()) for reply in used)
        missing = Counter(reply.outcome for reply in used if reply.outcome)
        if left_over or empty or missing:
            counts = ", ".join(f"{missing[name]:,} {name}" for name in outcomes.OUTCOMES if missing[name])
            lost = f"; {missing.total():,} used are missing: {counts}" if missing else ""
            progress.message(
                f"{self.path.name}: {left_over:,} completions beyond those asked for are left out; "
                f"{empty:,} used are empty{lost}"
            )

    def check_sentences(self, benchmark: pd.DataFrame) -> None:
        """Check that a log asked these sentences; other tables do not say what they asked.

        Args:
            benchmark: Prompts: prompt_id, context, stem.

        Raises:
            ParameterError: If a prompt of the log has other sentences under its prompt_id.
        """
        if self._log is not None:
            try:
                evaluation_logs.refuse_other_sentences(self._log.table, benchmark)
            except DataError as error:
                self._refuse(str(error))

    def _check_wordings(self, wanted: pd.DataFrame) -> None:
        """ParameterError for answers in a wrong wording; a message if the file has no column for it."""
        several = wanted.groupby("mitigation")["wording"].transform("max") > 1
        if not several.any():
            return
        if "wording" not in self.rows:
            names = ", ".join(wanted.loc[several, "mitigation"].unique())
            progress.message(
                f"{self.path.name}: no column wording: answers under {names} are taken to be in the "
                "wording that "
                "lib.config.mitigation_texts.of_group names"
            )
            return
        expected = wanted[several].drop_duplicates(_KEY).set_index(_KEY)["wording"].to_dict()
        expected_wording = pd.Series(_keys(self.rows), self.rows.index).map(expected)
        values = self.rows["wording"].fillna("").str.strip().str.removesuffix(".0")
        mismatch = expected_wording.notna() & (values != expected_wording.fillna(0).astype(int).astype(str))
        if mismatch.any():
            fault = (
                f"in another wording than its group is asked in: {values[mismatch].iloc[0]!r} in place of "
                f"{expected_wording[mismatch].iloc[0]:.0f}"
            )
            self._refuse_rows(
                mismatch,
                fault,
                "ask in that (lib.config.mitigation_texts.of_group), or give the mitigation one text",
            )

    def _read(self) -> pd.DataFrame:
        """The file as it is, indexed by line or row number."""
        if not self.path.is_file():
            self._refuse(f"no such file: {self.path.resolve()}")
        suffix, is_log = self.path.suffix.lower(), evaluation_logs.is_log(self.path)
        if suffix not in tables.READERS and not is_log:
            self._refuse(
                f"unknown suffix {suffix!r}{nearest(suffix, tables.READERS)}; give "
                f"{', '.join(tables.READERS)}, or a log of Inspect (.eval, .json)"
            )
        try:
            if is_log:
                self.unit, self._log = "sample", evaluation_logs.read(self.path)
                for note in self._log.notes:
                    progress.message(f"{self.path.name}: {note}")
                return self._log.table
            self.unit, reader = tables.READERS[suffix]
            return reader(self.path, self._needed())
        except Exception as error:  # every reader has its own exceptions
            self._refuse(f"cannot be read: {' '.join(str(error).split())[:600]}")

    def _needed(self) -> tables.Needed:
        """The columns that the file must have, under its own names."""
        mapping = self.table.columns
        prompt = tuple(mapping.get(field, field) for field in ("prompt_id", "prompt"))
        return [prompt, (mapping.get("completion", "completion"),), *((name,) for name in mapping.values())]

    def _under_our_names(self, file: pd.DataFrame) -> pd.DataFrame:
        """Select and rename the columns, as text.

        These are prompt, completion and, if present, mitigation, sample_index, outcome, note and wording.
        """
        mapping, columns = self.table.columns, [str(name) for name in file.columns]
        source = {field: field for field in _COLUMNS} | mapping
        needed: list[str] = [*mapping, "completion"]
        listing = f"\nthe file's columns: {', '.join(columns[:20])}{' …' * (len(columns) > 20)}"
        for field in needed:
            if source[field] not in columns:
                self._refuse(
                    f"no column {source[field]!r} for {field}{nearest(source[field], columns)}; mend "
                    f"table.columns{listing}"
                )
        key_columns = [field for field in ("prompt_id", "prompt") if source[field] in columns]
        if not key_columns:
            self._refuse(
                f"neither a column prompt_id nor a column prompt; name one in table.columns{listing}"
            )
        # a column that is named explicitly comes first
        self.by = min(key_columns, key=lambda field: field not in mapping)
        selected = {field: source[field] for field in (self.by, *_COLUMNS[2:]) if source[field] in columns}
        if "outcome" not in selected:
            # a note says why there is no answer; a note on an answer is not used
            selected.pop("note", None)
        for name in selected.values():
            if columns.count(name) > 1:
                self._refuse(f"two columns are called {name!r}; rename one")
        cells = {field: file.iloc[:, columns.index(name)] for field, name in selected.items()}
        for field, column in cells.items():
            wrong = column.map(tables.is_no_text).astype(bool)
            example = str(next(iter(column[wrong]), ""))[:60]
            self._refuse_rows(wrong, f"whose {field} is no text: {example}", "write the text itself there")
        rows = pd.DataFrame({field: column.map(tables.text) for field, column in cells.items()}, dtype=object)
        rows = self._with_outcomes(rows)
        answered = ~rows["outcome"].isin(_MISSING) if "outcome" in rows else True
        for field, required in ((self.by, True), ("completion", answered)):
            self._refuse_rows(
                rows[field].isna() & required, f"without a {field}", "supply it or take the row out"
            )
        rows = rows.fillna({name: "" for name in ("completion", "note") if name in rows})
        rows = rows.rename(columns={self.by: "prompt"})
        return rows.assign(prompt=rows["prompt"].map(_one_line)) if self.by == "prompt" else rows

    def _with_outcomes(self, rows: pd.DataFrame) -> pd.DataFrame:
        """`rows` with the outcome, if there is such a column, as "" or one of OUTCOMES."""
        if "outcome" not in rows:
            return rows
        rows = rows.assign(outcome=rows["outcome"].fillna("").str.strip().str.lower())
        unknown = ~rows["outcome"].isin(_OUTCOMES)
        value = next(iter(rows.loc[unknown, "outcome"]), "")
        remedy = f"give {', '.join(outcomes.OUTCOMES)} or nothing, or name another column in table.columns"
        self._refuse_rows(
            unknown, f"with an unknown outcome: {value!r}{nearest(value, outcomes.OUTCOMES)}", remedy
        )
        return rows

    def _with_samples(self, rows: pd.DataFrame) -> pd.DataFrame:
        """`rows` with mitigation and sample_index filled in."""
        bare = pd.Series(NO_MITIGATION, rows.index, dtype=object)
        mitigation = (
            rows["mitigation"].fillna("").replace("", NO_MITIGATION) if "mitigation" in rows else bare
        )
        rows = rows.assign(mitigation=mitigation)
        if "sample_index" not in rows:
            return rows.assign(sample_index=rows.groupby(["prompt", "mitigation"]).cumcount())
        is_integer = rows["sample_index"].fillna("").str.fullmatch(r"[0-9]{1,9}(\.0*)?")
        self._refuse_rows(
            ~is_integer.astype(bool), "with a sample_index that is no whole number from 0 on", "mend it"
        )
        return rows.assign(sample_index=rows["sample_index"].astype(float).astype(int))

    def _sought(self, requests: pd.DataFrame) -> list[tuple]:
        """The key by which each of `requests` is looked up."""
        by_id = self.by == "prompt_id"
        prompt = (
            requests["prompt_id"] if by_id else (requests["context"] + " " + requests["stem"]).map(_one_line)
        )
        return _keys(requests.assign(prompt=prompt))

    def _refuse_repeated(self) -> None:
        repeated = self.rows[self.rows.duplicated(_KEY)]
        if repeated.empty:
            return
        first = self.rows.drop_duplicates(_KEY).reset_index(names="row").set_index(_KEY)["row"]
        pairs = [
            f"{self.unit}s {first[key]} and {row}: {key[0]!r}, mitigation {key[1]}, sample_index {key[2]}"
            for row, key in zip(repeated.index[: tables.SHOWN], _keys(repeated[: tables.SHOWN]), strict=True)
        ]
        remedy = "take one out or number them apart" + "; prompts that read alike need prompt_id" * (
            self.by == "prompt"
        )
        self._refuse("\n".join([f"{len(repeated):,} completions are given twice; {remedy}", *pairs]))

    def _refuse_foreign(self, column: str, wanted: pd.DataFrame, reason: str, remedy: str) -> None:
        known = wanted[column].unique()
        unexpected = ~self.rows[column].isin(known)
        if unexpected.any():
            value = self.rows.loc[unexpected, column].iloc[0]
            self._refuse_rows(
                unexpected, f"with an unknown {column}: {value!r} {reason}{nearest(value, known)}", remedy
            )

    def _refuse_missing(self, requests: pd.DataFrame) -> None:
        is_missing = [key not in self._replies for key in self._sought(requests)]
        missing = requests[is_missing]
        if len(missing):
            examples = (
                missing[["prompt_id", "mitigation", "sample_index"]]
                .head(tables.SHOWN)
                .astype(str)
                .agg("/".join, axis=1)
            )
            remedy = (
                "supply them (sample_index counts from 0), lower samples or mitigation_samples, or set "
                "mitigate: false"
            )
            self._refuse(
                f"lacks {len(missing):,} completions: {tables.some(examples, len(missing))}\n{remedy}"
            )

    def _refuse_rows(self, wrong: pd.Series, fault: str, remedy: str) -> None:
        count, numbers = int(wrong.sum()), wrong.index[wrong]
        if count:
            units = self.unit + "s" * (count > 1)
            self._refuse(f"{count:,} {units} {fault}\n{units} {tables.some(numbers, count)}; {remedy}")

    def _refuse(self, fault: str) -> NoReturn:
        raise ParameterError(f"model {self.spec.name}: table {self.table.path}: {fault}")


def _reply(row: dict) -> Reply:
    """A row as a Reply; without an answer, its text becomes the note unless there is a note already."""
    text, outcome = row["completion"] or "", row.get("outcome")
    missing = outcome if outcome in _MISSING else None
    note = (row.get("note") or text) if missing else ""
    return Reply(text, len(text.split()), ended=outcome != outcomes.TRUNCATED, outcome=missing, note=note)


def _keys(table: pd.DataFrame) -> list[tuple]:
    return list(zip(*(table[name] for name in _KEY), strict=True))


def _one_line(text: str) -> str:
    return " ".join(text.split())
