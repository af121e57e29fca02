"""What the schemas of Every Eval Ever 0.3.0 ask of the parts that are written here, in our own words."""

TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
NUMBER, TEXT = {"type": "number"}, {"type": "string"}
MODEL = {
    "type": "object",
    "required": ["name", "id", "additional_details"],
    "properties": {
        "id": TEXT,
        "inference_engine": {"type": "object", "properties": {"name": TEXT, "version": TEXT}},
        "additional_details": {
            **TEXTS,
            "required": ["deployment_type", "model_availability"],
            "properties": {
                "deployment_type": {"enum": ["self_deployed", "externally_managed", "unknown"]},
                "model_availability": {"enum": ["open_weights", "closed_weights", "unknown"]},
            },
        },
    },
}
RESULT = {
    "type": "object",
    "required": ["evaluation_name", "source_data", "metric_config", "score_details"],
    "properties": {
        "evaluation_result_id": TEXT,
        "source_data": {
            "required": ["dataset_name", "source_type"],
            "properties": {"source_type": {"const": "other"}, "additional_details": TEXTS},
        },
        "metric_config": {
            "required": ["lower_is_better", "min_score", "max_score"],
            "properties": {
                "lower_is_better": {"type": "boolean"},
                "score_type": {"const": "continuous"},
                "min_score": NUMBER,
                "max_score": NUMBER,
                "additional_details": TEXTS,
            },
        },
        "score_details": {
            "required": ["score"],
            "properties": {
                "score": NUMBER,
                "details": TEXTS,
                "uncertainty": {
                    "properties": {
                        "num_samples": {"type": "integer"},
                        "standard_deviation": NUMBER,
                        "confidence_interval": {
                            "required": ["lower", "upper"],
                            "properties": {"lower": NUMBER, "upper": NUMBER, "confidence_level": NUMBER},
                        },
                    }
                },
            },
        },
        "generation_config": {
            "properties": {
                "generation_args": {
                    "additionalProperties": False,
                    "properties": {"temperature": NUMBER, "max_tokens": {"type": "integer", "minimum": 1}},
                },
                "additional_details": TEXTS,
            }
        },
    },
}
UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
_NEEDED = [
    "schema_version",
    "evaluation_id",
    "retrieved_timestamp",
    "source_metadata",
    "model_info",
    "eval_library",
]
AGGREGATE = {
    "type": "object",
    "additionalProperties": False,
    "required": [*_NEEDED, "evaluation_results"],
    "properties": {
        **dict.fromkeys(_NEEDED[:3], TEXT),
        "source_metadata": {
            "required": ["source_type", "source_organization_name", "evaluator_relationship"],
            "properties": {
                "source_type": {"enum": ["documentation", "evaluation_run"]},
                "evaluator_relationship": {"enum": ["first_party", "third_party", "collaborative", "other"]},
                "additional_details": TEXTS,
            },
        },
        "eval_library": {"required": ["name", "version"], "properties": {"additional_details": TEXTS}},
        "model_info": MODEL,
        "evaluation_results": {"type": "array", "items": RESULT},
        "detailed_evaluation_results": {
            "required": ["format", "file_path"],
            "properties": {
                "format": {"const": "jsonl"},
                "file_path": {"pattern": rf"^data/[^/]+/[^/]+/[^/]+/{UUID}_samples\.jsonl$"},
                "hash_algorithm": {"enum": ["sha256", "md5"]},
                "total_rows": {"type": "integer"},
            },
        },
    },
}
_OF_SAMPLE = [
    "schema_version",
    "evaluation_id",
    "model_id",
    "evaluation_name",
    "sample_id",
    "interaction_type",
]
SAMPLE = {
    "type": "object",
    "additionalProperties": False,
    "required": [*_OF_SAMPLE, "input", "output", "answer_attribution", "evaluation"],
    "properties": {
        **dict.fromkeys([*_OF_SAMPLE, "evaluation_result_id", "sample_hash", "error"], TEXT),
        "interaction_type": {"const": "single_turn"},
        "input": {
            "required": ["raw", "reference"],
            "properties": {"raw": TEXT, "reference": {"type": "array"}},
        },
        "output": {"required": ["raw"], "properties": {"raw": {"type": "array", "items": TEXT}}},
        "answer_attribution": {
            "type": "array",
            "items": {
                "required": ["turn_idx", "source", "extracted_value", "extraction_method", "is_terminal"]
            },
        },
        "evaluation": {
            "required": ["score", "is_correct"],
            "properties": {"score": NUMBER, "is_correct": {"type": "boolean"}},
        },
        "metadata": TEXTS,
    },
}
