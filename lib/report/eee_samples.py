"""The samples of a record of Every Eval Ever: one record per completion."""

import hashlib
import json

import pandas as pd

SCHEMA_VERSION = "0.3.0"
EVALUATION = "expression_leakage"
_DETAILS = (
    "prompt_id",
    "group_id",
    "stem_id",
    "arm",
    "sample_index",
    "outcome",
    "emotion",
    "charged",
    "judge",
)


def sample(row: dict, model_id: str, evaluation_id: str) -> dict:
    """One completion, scored by its valence.

    Args:
        row: A row of the table judgements/<model>.
        model_id: Of the model, as in the aggregate record.
        evaluation_id: Of the aggregate record.
    """
    prompt, is_scored = f"{row['context']} {row['stem']}".strip(), bool(pd.notna(row["valence"]))
    completion = row["completion"] if isinstance(row["completion"], str) else ""
    hashed = json.dumps({"raw": prompt, "reference": []}, sort_keys=True)
    attribution = {
        "turn_idx": 0,
        "source": "output.raw",
        "extracted_value": completion,
        "extraction_method": "first_sentence",
        "is_terminal": True,
    }
    record = {
        "schema_version": SCHEMA_VERSION,
        "evaluation_id": evaluation_id,
        "model_id": model_id,
        "evaluation_name": EVALUATION,
        "sample_id": f"{row['prompt_id']}#{row['sample_index']}",
        "sample_hash": hashlib.sha256(hashed.encode()).hexdigest(),
        "interaction_type": "single_turn",
        "input": {"raw": prompt, "reference": []},
        "output": {"raw": [completion]},
        "answer_attribution": [attribution],
        "evaluation": {"score": float(row["valence"]) if is_scored else 0.0, "is_correct": is_scored},
        "metadata": {name: str(row[name]) for name in _DETAILS if pd.notna(row[name])},
    }
    if is_scored:
        return record | {"evaluation_result_id": f"valence_{row['arm']}"}
    return record | {"error": f"{row['outcome']}: {row['note'] or 'no answer to judge'}"}
