"""Completions made elsewhere, looked up in a file in place of asking a model.

The file has these columns, under our names or under those that the model's `table.columns` gives:

- `completion`: what was written after the prompt; it is cut after its first sentence like any other,
- `outcome`: one of lib.replies.outcomes.OUTCOMES, where the tool knew it (`refused`, `filtered`, `failed`,
  …), and `note`, why; empty, or without this column, the text tells. A row whose outcome says that there is
  no answer may lack a completion,
- `prompt_id` as in prompts.parquet or, without it, `prompt`: the column `text` of prompts.parquet, white
  space ignored,
- `mitigation`: the mitigation's name, "none" or empty for the bare prompt; without this column all prompts
  are bare. Of several wordings a group is asked in the one that `lib.config.mitigation_texts.of_group` says:
  a column `wording`, from 1 on and empty for the bare prompt, is held against it; without one the answers are
  taken to be in it, which the run says,
- `sample_index`: 0, 1, … within prompt and mitigation; without this column the order of appearance.

An empty text is a completion, whose outcome becomes `empty`; null or a blank cell of a sheet is a missing
one. CSV, and xlsx as pandas writes it, cannot tell the two apart: there nothing is an empty text.
"""

import json
from collections import Counter

import pandas as pd

from lib.config import specs
from lib.config.specs import NO_MITIGATION, Model, ParameterError, nearest
from lib.models.base import Backend, no_progress
from lib.replies import outcomes
from lib.replies.reply import Reply
from lib.runtime import progress
from lib.storage import packages, tables

_COLUMNS = ("prompt_id", "prompt", "mitigation", "sample_index", "completion", "outcome", "note", "wording")
_OUTCOMES = ("", *outcomes.OUTCOMES)
_MISSING = tuple(name for name in outcomes.OUTCOMES if name not in outcomes.USABLE)
_KEY = ["prompt", "mitigation", "sample_index"]


class Precomputed(Backend):
    """The completions of `spec.table`; ParameterError, naming the rows, if the file or what it holds is not
    as said above."""

    def __init__(self, spec: Model):
        self.spec, self.parameters = spec, spec.parameters
        self.path = specs.ROOT / spec.table.path
        self.rows = self._with_samples(self._under_our_names(self._read()))
        self._refuse_repeated()
        self._replies = dict(zip(_keys(self.rows), map(_reply, self.rows.to_dict("records")), strict=True))
        self.fingerprint = json.dumps(
            {"table": packages.sha256(self.path), "columns": spec.table.columns}, sort_keys=True
        )

    def render(self, context: str, stem: str, mitigation: str) -> str:
        """The bare text of the prompt."""
        return f"{mitigation} {context} {stem}".strip()

    def reply(
        self, requests: pd.DataFrame, temperature: float, max_new_tokens: int, seed: int, progress=no_progress
    ) -> list[Reply]:
        """One Reply for each row of `requests`, its tokens counted in words; ParameterError if the file lacks
        one.

        Each has ended unless its outcome is `truncated`: of a text without a sentence end nobody can tell
        whether it was cut off.
        """
        self._refuse_missing(requests)
        progress(len(requests))
        return [self._replies[key] for key in self._sought(requests)]

    def check(self, requested: pd.DataFrame) -> None:
        """Raise ParameterError if the file lacks any of `requested` (`runner.requests`), or holds an unknown
        prompt or mitigation.

        Says how many completions are left over or empty, and how many are missing by their outcome.
        """
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

    def _check_wordings(self, wanted: pd.DataFrame) -> None:
        """ParameterError for answers in another wording than a group is asked in; a message where the file
        does not tell."""
        several = wanted.groupby("mitigation")["wording"].transform("max") > 1
        if not several.any():
            return
        if "wording" not in self.rows:
            named = ", ".join(wanted.loc[several, "mitigation"].unique())
            progress.message(
                f"{self.path.name}: no column wording: answers under {named} are taken to be in the "
                "wording that "
                "lib.config.mitigation_texts.of_group names"
            )
            return
        due = wanted[several].drop_duplicates(_KEY).set_index(_KEY)["wording"].to_dict()
        asked = pd.Series(_keys(self.rows), self.rows.index).map(due)
        given = self.rows["wording"].fillna("").str.strip().str.removesuffix(".0")
        wrong = asked.notna() & (given != asked.fillna(0).astype(int).astype(str))
        if wrong.any():
            fault = (
                f"in another wording than its group is asked in: {given[wrong].iloc[0]!r} in place of "
                f"{asked[wrong].iloc[0]:.0f}"
            )
            self._refuse_rows(
                wrong,
                fault,
                "ask in that (lib.config.mitigation_texts.of_group), or give the mitigation one text",
            )

    def _read(self) -> pd.DataFrame:
        """The file as it is, indexed by line or row as people count them."""
        if not self.path.is_file():
            self._refuse(f"no such file: {self.path.resolve()}")
        suffix = self.path.suffix.lower()
        if suffix not in tables.READERS:
            self._refuse(
                f"unknown suffix {suffix!r}{nearest(suffix, tables.READERS)}; give "
                f"{', '.join(tables.READERS)}"
            )
        self.unit, reader = tables.READERS[suffix]
        try:
            return reader(self.path, self._needed())
        except Exception as error:  # every reader has its own
            self._refuse(f"cannot be read: {' '.join(str(error).split())[:600]}")

    def _needed(self) -> tables.Needed:
        """The columns that the file must have, under its names."""
        given = self.spec.table.columns
        prompt = tuple(given.get(ours, ours) for ours in ("prompt_id", "prompt"))
        return [prompt, (given.get("completion", "completion"),), *((name,) for name in given.values())]

    def _under_our_names(self, file: pd.DataFrame) -> pd.DataFrame:
        """The columns prompt, completion and, where given, mitigation, sample_index, outcome and note, as
        text."""
        given, there = self.spec.table.columns, [str(name) for name in file.columns]
        named = {ours: given.get(ours, ours) for ours in _COLUMNS}
        holds = f"\nthe file's columns: {', '.join(there[:20])}{' …' * (len(there) > 20)}"
        for ours in [*given, "completion"]:
            if named[ours] not in there:
                self._refuse(
                    f"no column {named[ours]!r} for {ours}{nearest(named[ours], there)}; mend "
                    f"table.columns{holds}"
                )
        by = [ours for ours in ("prompt_id", "prompt") if named[ours] in there]
        if not by:
            self._refuse(f"neither a column prompt_id nor a column prompt; name one in table.columns{holds}")
        self.by = min(by, key=lambda ours: ours not in given)  # a column that is named outright comes first
        taken = {ours: named[ours] for ours in (self.by, *_COLUMNS[2:]) if named[ours] in there}
        if "outcome" not in taken:
            # it says why there is no answer; of an answer it says nothing that is asked
            taken.pop("note", None)
        for name in taken.values():
            if there.count(name) > 1:
                self._refuse(f"two columns are called {name!r}; rename one")
        cells = {ours: file.iloc[:, there.index(name)] for ours, name in taken.items()}
        for ours, column in cells.items():
            wrong = column.map(tables.is_no_text).astype(bool)
            shown = str(next(iter(column[wrong]), ""))[:60]
            self._refuse_rows(wrong, f"whose {ours} is no text: {shown}", "write the text itself there")
        rows = pd.DataFrame({ours: column.map(tables.text) for ours, column in cells.items()}, dtype=object)
        rows = self._with_outcomes(rows)
        answered = ~rows["outcome"].isin(_MISSING) if "outcome" in rows else True
        for ours, due in ((self.by, True), ("completion", answered)):
            self._refuse_rows(rows[ours].isna() & due, f"without a {ours}", "supply it or take the row out")
        rows = rows.fillna({name: "" for name in ("completion", "note") if name in rows})
        rows = rows.rename(columns={self.by: "prompt"})
        return rows.assign(prompt=rows["prompt"].map(_one_line)) if self.by == "prompt" else rows

    def _with_outcomes(self, rows: pd.DataFrame) -> pd.DataFrame:
        """`rows` with the outcome, where there is such a column, "" or one of OUTCOMES."""
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
        whole = rows["sample_index"].fillna("").str.fullmatch(r"[0-9]{1,9}(\.0*)?")
        self._refuse_rows(
            ~whole.astype(bool), "with a sample_index that is no whole number from 0 on", "mend it"
        )
        return rows.assign(sample_index=rows["sample_index"].astype(float).astype(int))

    def _sought(self, requests: pd.DataFrame) -> list[tuple]:
        """What each of `requests` is found by."""
        by_id = self.by == "prompt_id"
        prompt = (
            requests["prompt_id"] if by_id else (requests["context"] + " " + requests["stem"]).map(_one_line)
        )
        return _keys(requests.assign(prompt=prompt))

    def _refuse_repeated(self) -> None:
        again = self.rows[self.rows.duplicated(_KEY)]
        if again.empty:
            return
        first = self.rows.drop_duplicates(_KEY).reset_index(names="row").set_index(_KEY)["row"]
        pairs = [
            f"{self.unit}s {first[key]} and {row}: {key[0]!r}, mitigation {key[1]}, sample_index {key[2]}"
            for row, key in zip(again.index[: tables.SHOWN], _keys(again[: tables.SHOWN]), strict=True)
        ]
        remedy = "take one out or number them apart" + "; prompts that read alike need prompt_id" * (
            self.by == "prompt"
        )
        self._refuse("\n".join([f"{len(again):,} completions are given twice; {remedy}", *pairs]))

    def _refuse_foreign(self, column: str, wanted: pd.DataFrame, reason: str, remedy: str) -> None:
        known = wanted[column].unique()
        foreign = ~self.rows[column].isin(known)
        if foreign.any():
            value = self.rows.loc[foreign, column].iloc[0]
            self._refuse_rows(
                foreign, f"with an unknown {column}: {value!r} {reason}{nearest(value, known)}", remedy
            )

    def _refuse_missing(self, requests: pd.DataFrame) -> None:
        lacks = [key not in self._replies for key in self._sought(requests)]
        missing = requests[lacks]
        if len(missing):
            shown = (
                missing[["prompt_id", "mitigation", "sample_index"]]
                .head(tables.SHOWN)
                .astype(str)
                .agg("/".join, axis=1)
            )
            remedy = (
                "supply them (sample_index counts from 0), lower samples or mitigation_samples, or set "
                "mitigate: false"
            )
            self._refuse(f"lacks {len(missing):,} completions: {tables.some(shown, len(missing))}\n{remedy}")

    def _refuse_rows(self, wrong: pd.Series, fault: str, remedy: str) -> None:
        count, numbers = int(wrong.sum()), wrong.index[wrong]
        if count:
            units = self.unit + "s" * (count > 1)
            self._refuse(f"{count:,} {units} {fault}\n{units} {tables.some(numbers, count)}; {remedy}")

    def _refuse(self, fault: str) -> None:
        raise ParameterError(f"model {self.spec.name}: table {self.spec.table.path}: {fault}")


def _reply(row: dict) -> Reply:
    """A row as a Reply; where its outcome says that there is no answer, the text that stands there is the
    note if there is no other."""
    text, outcome = row["completion"] or "", row.get("outcome")
    missing = outcome if outcome in _MISSING else None
    note = (row.get("note") or text) if missing else ""
    return Reply(text, len(text.split()), ended=outcome != outcomes.TRUNCATED, outcome=missing, note=note)


def _keys(table: pd.DataFrame) -> list[tuple]:
    return list(zip(*(table[name] for name in _KEY), strict=True))


def _one_line(text: str) -> str:
    return " ".join(text.split())
