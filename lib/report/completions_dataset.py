"""A finished run as a Hugging Face dataset: every completion with the judge's verdict on it, and the claims.

The folder holds data/<model>.parquet, claims.parquet and README.md, the card; `datasets.load_dataset(folder)`
loads the completions of all models, or those of one model by its name, or the claims.
"""

from pathlib import Path
from string import Template

import pandas as pd
import pyarrow
import yaml
from tabulate import tabulate

from lib.config import mitigation_texts, specs
from lib.config.params import ParameterSet
from lib.dataset import curated_prompts

CARD = curated_prompts.DATA / "export" / "completions_card.md"
LICENSE = "cc-by-4.0"
CLAIMS = "claims"  # its configuration; no model may have this name
ALL = "completions"  # the default configuration: all models
# fewer rows than this -> the size category of the Hub
_SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"), (10**9, "n>1M"))
# columns of the completions -> what they hold
COLUMNS = {
    "model": "name of the model in this run",
    "model_id": "what was asked: hub id, bundled or mock model, file name of a table",
    "prompt_id": "group and arm",
    "group_id": "stem and match of contexts; its prompts differ in the context alone",
    "stem_id": "the unfinished sentence",
    "arm": "kind of context: none, neutral, placebo, negative, positive",
    "mitigation": "name of the request not to leak; none: the bare prompt",
    "wording": "which of its wordings, from 1 on; 0 for the bare prompt",
    "mitigation_text": "the request itself, before the context unless {context} or {system} say where",
    "sample_index": "number of the draw",
    "context": "the sentence whose sentiment may leak",
    "stem": "the sentence to complete",
    "completion": "the first sentence of the answer, which is judged; empty if there is no answer",
    "outcome": "answered, truncated, or why there is no answer",
    "note": "what stood in place of an answer",
    "tokens": "tokens of the reply",
    "ended": "whether the model stopped, or its first sentence ended",
    "domain": "of the stem",
    "slot": "closed: a number, an address; open: a hobby, a title",
    "pronoun": "of the stem",
    "kind": "of the context: physical or mental",
    "emotion": "of the context",
    "intensity": "of the context",
    "form": "of the context",
    "literal_senses": "words of the context that it uses in another sense",
    "judge": "name and version of the judge",
    "valence": "verdict of the judge, −4 … +4; null if there is no answer",
    "charged": "whether |valence| is above the threshold of the run; null if there is no answer",
    "repeats": "whether the completion repeats a charged word of the context",
}


def table(spec: specs.Model, parameters: ParameterSet, judgements: pd.DataFrame) -> pd.DataFrame:
    """The completions of one model, with COLUMNS as far as the run has them.

    Args:
        spec: The model.
        parameters: The parameter set.
        judgements: The table judgements/<model>.
    """
    texts = {name: mitigation_texts.texts(value) for name, value in parameters.mitigations.items()}
    rows = zip(judgements["mitigation"], judgements["wording"], strict=True)
    requests = [texts[name][max(int(number), 1) - 1] if name in texts else "" for name, number in rows]
    shown = spec.id if "/" not in spec.id or not Path(spec.id).is_absolute() else Path(spec.id).name
    added = judgements.assign(model_id=shown, mitigation_text=requests)
    return added[[name for name in COLUMNS if name in added]].reset_index(drop=True)


def card(
    set_name: str, parameters: ParameterSet, tables: dict[str, pd.DataFrame], claims: pd.DataFrame
) -> str:
    """The dataset card: lib/data/export/completions_card.md with its numbers and the front matter of the Hub.

    Args:
        set_name: The parameter set.
        parameters: Its values.
        tables: Model -> completions (`table`).
        claims: The claims board of the run (`lib.report.reports.board`).
    """
    every = pd.concat(tables.values(), ignore_index=True)
    verdicts = claims[["claim", "model", "measured", "verdict"]]
    values = {
        "set_name": set_name,
        "title": parameters.title,
        "warning": _warning(parameters),
        "completions": f"{len(every):,}",
        "prompts": f"{every['prompt_id'].nunique():,}",
        "stems": every["stem_id"].nunique(),
        "judges": ", ".join(f"`{name}`" for name in every["judge"].unique()),
        "threshold": f"{parameters.judging['charged_threshold']:g}",
        "temperature": parameters.generation["temperature"],
        "max_new_tokens": parameters.generation["max_new_tokens"],
        "model_table": tabulate(_models(tables), "keys", "pipe", showindex=False),
        "claims_table": tabulate(verdicts, "keys", "pipe", showindex=False),
        "column_table": tabulate(
            [(f"`{name}`", COLUMNS[name]) for name in every],
            ["column", "holds"],
            "pipe",
            disable_numparse=True,
        ),
    }
    text = Template(CARD.read_text(encoding="utf-8")).substitute(values)
    return f"---\n{_front_matter(parameters, tables, claims)}---\n\n{text}"


def _models(tables: dict[str, pd.DataFrame]) -> list[dict]:
    """A row per model: model, id, completions, and missing, how many have no valence."""
    return [
        {
            "model": name,
            "id": rows["model_id"].iloc[0],
            "completions": len(rows),
            "missing": int(rows["valence"].isna().sum()),
        }
        for name, rows in tables.items()
    ]


def _warning(parameters: ParameterSet) -> str:
    warnings = ["The models are mock models: nothing here allows a conclusion."] * parameters.is_mock
    return "".join(f"**{line}**\n\n" for line in [*warnings, parameters.note] if line)


def _front_matter(parameters: ParameterSet, tables: dict[str, pd.DataFrame], claims: pd.DataFrame) -> str:
    count = sum(map(len, tables.values()))
    first = next(iter(tables.values()))
    configs = [{"config_name": ALL, "default": True, "data_files": "data/*.parquet"}]
    configs += [{"config_name": name, "data_files": f"data/{name}.parquet"} for name in tables]
    configs += [{"config_name": CLAIMS, "data_files": "claims.parquet"}]
    information = [{"config_name": name, "features": _features(first)} for name in (ALL, *tables)]
    information += [{"config_name": CLAIMS, "features": _features(claims)}]
    header = {
        "license": LICENSE,
        "language": ["en"],
        "pretty_name": f"Expression leakage: completions, {parameters.title}",
        "task_categories": ["text-generation"],
        "tags": ["sentiment", "bias", "evaluation", "model-outputs"],
        "size_categories": [next(name for most, name in _SIZES if count < most)],
        "configs": configs,
        "dataset_info": information,
    }
    return yaml.safe_dump(header, sort_keys=False, allow_unicode=True, width=110)


def _features(rows: pd.DataFrame) -> list[dict]:
    """The columns of a table with their types, as the Hub names them."""
    return [{"name": each.name, "dtype": _dtype(each.type)} for each in arrow(rows).schema]


def _dtype(kind: pyarrow.DataType) -> str:
    return {"double": "float64", "large_string": "string"}.get(str(kind), str(kind))


def arrow(rows: pd.DataFrame) -> pyarrow.Table:
    """A table as it is written: texts as strings, NaN as null, without what only pandas reads."""
    made = pyarrow.Table.from_pandas(rows, preserve_index=False)
    kinds = {"large_string": pyarrow.string(), "null": pyarrow.string()}
    fields = [each.with_type(kinds.get(str(each.type), each.type)) for each in made.schema]
    return made.cast(pyarrow.schema(fields)).replace_schema_metadata(None)
