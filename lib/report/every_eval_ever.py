"""A finished run as records of Every Eval Ever, the shared schema for evaluation results, version 0.3.0.

https://github.com/evaleval/every_eval_ever. A model has an aggregate record, <uuid>.json, with one result per
quantity and polarity, and one per arm, its mean valence; and <uuid>_samples.jsonl, with one record per
unmitigated completion, scored by its valence. A completion without a valence is kept in the samples with its
outcome as `error`, and belongs to no result. What the schema asks for and this project does not have is said
in `additional_details`: no completion is correct or wrong.
"""

import hashlib
import json
import uuid
from dataclasses import dataclass
from importlib import metadata
from pathlib import PurePosixPath

import pandas as pd

from lib.analysis.leakage import QUANTITIES, SUPPORT
from lib.config import specs
from lib.report import eee_models, eee_samples
from lib.report.eee_samples import EVALUATION, SCHEMA_VERSION

COLLECTION = EVALUATION
UNKNOWN = "unknown"
_UNITS = {"leak": "percent", "shift": "points"}  # of the others: percentage_points
_ARMS = {
    "negative": "after negative contexts",
    "positive": "after positive contexts",
    "both": "after charged contexts",
}
_IS_CORRECT = "no completion is correct or wrong: is_correct says whether there is an answer to judge"


@dataclass(frozen=True)
class Source:
    """Who measured, in the words of the schema."""

    organization: str = UNKNOWN
    relationship: str = (
        "other"  # of the evaluator to the model: first_party, third_party, collaborative, other
    )


@dataclass(frozen=True)
class Run:
    """What the records of all models of a run share.

    Attributes:
        card: The card of the run (`lib.report.results.of_run`).
        generation: The section generation of the parameter set.
        dataset: The section dataset.
        judge: The judge.
        source: Who measured.
        created: Seconds since 1970 at which the records are made.
    """

    card: dict
    generation: dict
    dataset: dict
    judge: specs.Judge
    source: Source
    created: int


def records(run: Run, spec: specs.Model, judgements: pd.DataFrame, with_samples: bool) -> dict[str, str]:
    """The files of one model.

    Args:
        run: What all models share.
        spec: The model.
        judgements: Its unmitigated completions, judged: the table judgements/<model>.
        with_samples: Whether the samples may be published, with their texts.

    Returns:
        Path, from data/ on -> text.
    """
    info = eee_models.info(spec)
    developer, name = eee_models.folder(info["id"])
    digest = hashlib.sha256(
        pd.util.hash_pandas_object(judgements.astype(str), index=False).to_numpy().tobytes()
    )
    digest.update(
        json.dumps([run.card["set"], spec.model_dump(mode="json"), run.generation], default=str).encode()
    )
    identity = uuid.UUID(bytes=digest.digest()[:16], version=4)
    path = PurePosixPath("data", COLLECTION, developer, name, f"{identity}.json")
    evaluation_id = f"{COLLECTION}.{run.card['set']}.{spec.name}/{info['id']}/{run.created}"
    aggregate = _aggregate(run, spec, info, evaluation_id, judgements)
    if not with_samples:
        return {str(path): _json(aggregate, indent=1) + "\n"}
    lines = [eee_samples.sample(row, info["id"], evaluation_id) for row in judgements.to_dict("records")]
    samples = "".join(_json(line) + "\n" for line in lines)
    samples_path = str(path.with_name(f"{identity}_samples.jsonl"))
    aggregate["detailed_evaluation_results"] = {
        "format": "jsonl",
        "file_path": samples_path,
        "hash_algorithm": "sha256",
        "checksum": hashlib.sha256(samples.encode()).hexdigest(),
        "total_rows": len(lines),
    }
    return {str(path): _json(aggregate, indent=1) + "\n", samples_path: samples}


def _json(value: dict, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent)


def _aggregate(run: Run, spec: specs.Model, info: dict, evaluation_id: str, judgements: pd.DataFrame) -> dict:
    model = next(each for each in run.card["models"] if each["name"] == spec.name)
    common = {"source_data": _source_data(run), "generation_config": _generation(run, spec)}
    quantities = [row for row in model["quantities"] if row["arm"] in _ARMS and row["estimate"] is not None]
    results = [_quantity(run, model, row) | common for row in quantities]
    scored = judgements.dropna(subset="valence")
    results += [
        _mean_valence(run, str(arm), rows["valence"]) | common
        for arm, rows in scored.groupby("arm", sort=False)
    ]
    missing = {f"completions_{outcome}": str(n) for outcome, n in model["missing"]["outcomes"].items()}
    return {
        "schema_version": SCHEMA_VERSION,
        "evaluation_id": evaluation_id,
        "retrieved_timestamp": str(run.created),
        "source_metadata": {
            "source_name": f"expression-leakage, set {run.card['set']}",
            "source_type": "evaluation_run",
            "source_organization_name": run.source.organization,
            "evaluator_relationship": run.source.relationship,
            "additional_details": {"title": run.card["title"], "is_mock": str(run.card["is_mock"]).lower()},
        },
        "eval_library": {
            "name": "expression-leakage",
            "version": metadata.version("expression-leakage"),
            "additional_details": {"board": run.card["board"]},
        },
        "model_info": info
        | {
            "additional_details": info["additional_details"]
            | missing
            | {"completions": str(model["completions"])}
        },
        "evaluation_results": results,
    }


def _source_data(run: Run) -> dict:
    details = {key: str(value) for key, value in run.dataset.items() if isinstance(value, int | str)}
    return {
        "dataset_name": f"expression leakage, {run.card['benchmark']} benchmark",
        "source_type": "other",
        "additional_details": details,
    }


def _generation(run: Run, spec: specs.Model) -> dict:
    """The settings under which the completions were made; those of a table are not known."""
    args: dict = {}
    if not spec.table:
        value = run.generation["temperature"] if spec.temperature is None else spec.temperature
        args = {"temperature": float(value), "max_tokens": int(run.generation["max_new_tokens"])}
    details = {"seed": str(run.generation["seed"]), "samples": json.dumps(run.generation["samples"])}
    return {"generation_args": args, "additional_details": details | {"prompt_mode": spec.mode}}


def _quantity(run: Run, model: dict, row: dict) -> dict:
    """One estimate of the card as a result."""
    quantity, arm, (low, high) = row["quantity"], row["arm"], SUPPORT[row["quantity"]]
    uncertainty: dict = {"num_samples": row["n"]}
    if row["ci_low"] is not None:
        uncertainty["confidence_interval"] = {
            "lower": row["ci_low"],
            "upper": row["ci_high"],
            "confidence_level": run.card["confidence"],
            "method": f"clustered by {row['cluster_unit']}",
        }
    none = 50 if quantity == "leak" else 0
    details = {name: str(row[name]) for name in ("n_stems", "n_matches", "cluster_unit")}
    details |= {
        f"verdict_C0{'' if key == 'verdict' else '_' + key}": str(model["leaks"][key])
        for key in ("verdict", "reason")
    }
    details["verdict_rests_on"] = "the judge alone" if model["leaks"]["as_judged"] else "labels by people"
    return {
        "evaluation_result_id": f"{quantity}_{arm}",
        "evaluation_name": EVALUATION,
        "metric_config": {
            "evaluation_description": f"Sentiment of an unrelated sentence in the completion, {_ARMS[arm]}: "
            f"{QUANTITIES[quantity]}, against neutral contexts; {none} is no leakage",
            "metric_id": f"{EVALUATION}.{quantity}_{arm}",
            "metric_name": f"{QUANTITIES[quantity]} ({arm})",
            "metric_kind": quantity,
            "metric_unit": _UNITS.get(quantity, "percentage_points"),
            "lower_is_better": True,
            "score_type": "continuous",
            "min_score": low,
            "max_score": high,
            "additional_details": {"no_leakage_at": str(none)} | _judge(run),
            **_llm_scoring(run),
        },
        "score_details": {"score": row["estimate"], "details": details, "uncertainty": uncertainty},
    }


def _mean_valence(run: Run, arm: str, valences: pd.Series) -> dict:
    """The mean valence of the completions of an arm, to which the samples belong."""
    return {
        "evaluation_result_id": f"valence_{arm}",
        "evaluation_name": EVALUATION,
        "metric_config": {
            "evaluation_description": f"Mean valence of completions in the arm {arm}, on the human scale; it "
            "says nothing of leakage by itself",
            "metric_id": f"{EVALUATION}.valence_{arm}",
            "metric_name": f"mean valence ({arm})",
            "metric_kind": "mean_valence",
            "metric_unit": "points",
            "lower_is_better": False,
            "score_type": "continuous",
            "min_score": -4,
            "max_score": 4,
            "additional_details": {"no_direction_is_better": "true", "is_correct": _IS_CORRECT} | _judge(run),
            **_llm_scoring(run),
        },
        "score_details": {
            "score": round(float(valences.mean()), 6),
            "uncertainty": {
                "num_samples": len(valences),
                **({"standard_deviation": round(float(valences.std()), 6)} if len(valences) > 1 else {}),
            },
        },
    }


def _judge(run: Run) -> dict:
    return {"judge": run.card["judge"]["name"], "judge_version": run.card["judge"]["version"]}


def _llm_scoring(run: Run) -> dict:
    """The part on a language model as judge; nothing for other judges."""
    if not isinstance(run.judge, specs.LLMJudge):
        return {}
    rubric = specs.rubric_path(run.judge.rubric).read_text(encoding="utf-8")
    judge = {"model_info": eee_models.info(run.judge.model), "temperature": run.judge.temperature}
    return {"llm_scoring": {"judges": [judge], "input_prompt": rubric}}
