"""Logs as lm-evaluation-harness 0.4.13 and Inspect 0.3.285 write them of the exported tasks, made by hand."""

import json
import struct
import zipfile
import zlib
from pathlib import Path

import pandas as pd
import pyarrow

TIME = "2026-11-27T12-00-00.123456"
AWKWARD = [
    " a quiet street.",
    "",
    "Zoë’s “Café” 🙂 日本\r\nnext",
    "a\u2028b\x85c",
    '"quoted", with\ttabs\n\n',
    "NA",
    " 1e5 ",
    "null",
]


def replies(prompts: pd.DataFrame, samples: int) -> dict[tuple[str, int], str]:
    """(prompt_id, sample_index) -> reply, distinct and awkward in turn."""
    keys = [(prompt, index) for prompt in prompts["prompt_id"] for index in range(samples)]
    return {key: AWKWARD[place % len(AWKWARD)] + f" {place}." * (place % 3) for place, key in enumerate(keys)}


def harness(folder: Path, prompts: pd.DataFrame, written: dict, samples: int, results: bool = True) -> Path:
    """samples_*.jsonl of the harness, with results_*.json beside it."""
    settings = {"until": [], "do_sample": True, "max_gen_toks": 32, "temperature": 0.7}
    lines = []
    for number, doc in enumerate(prompts.to_dict("records")):
        texts = [written[doc["prompt_id"], index] for index in range(samples)]
        judged = [{"outcome": "answered", "valence": float("nan"), "completion": text} for text in texts]
        lines.append(
            {
                "doc_id": number,
                "doc": doc,
                "target": "",
                "arguments": {"gen_args_0": {"arg_0": doc["text"], "arg_1": settings}},
                "resps": [texts],
                "filtered_resps": [texts],
                "filter": "every_sample",
                "metrics": ["leak_negative"],
                "leak_negative": judged,
            }
        )
    path = folder / f"samples_expression_leakage_{TIME}.jsonl"
    write_lines(path, lines)
    if results:
        about = {
            "model_name": "org/model",
            "lm_eval_version": "0.4.13",
            "n-samples": {"expression_leakage": {"original": len(lines), "effective": len(lines)}},
        }
        (folder / f"results_{TIME}.json").write_text(json.dumps(about))
    return path


def write_lines(path: Path, lines: list[dict]) -> None:
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")


def inspect_log(prompts: pd.DataFrame, written: dict, samples: int, epochs: int = 1) -> dict:
    """A log of Inspect as its JSON holds it; sample s of epoch e has the reply s + samples · (e − 1)."""
    ids = [f"{prompt}#{index}" for prompt in prompts["prompt_id"] for index in range(samples)]
    spec = {
        "task": "expression_leakage",
        "model": "openai/model",
        "model_args": {},
        "model_generate_config": {"temperature": 0.7},
        "dataset": {"samples": len(ids), "sample_ids": ids},
        "config": {"epochs": epochs},
        "packages": {"inspect_ai": "0.3.285"},
    }
    logged = [
        _sample(doc, index, epoch, written[doc["prompt_id"], index + samples * (epoch - 1)])
        for epoch in range(1, epochs + 1)
        for doc in prompts.to_dict("records")
        for index in range(samples)
    ]
    header = {"version": 2, "status": "success", "eval": spec, "plan": {"config": {"max_tokens": 32}}}
    return header | {"samples": logged}


def _sample(doc: dict, index: int, epoch: int, text: str) -> dict:
    message = {"role": "assistant", "content": text, "source": "generate"}
    choices = [{"message": message, "stop_reason": "stop"}]
    return {
        "id": f"{doc['prompt_id']}#{index}",
        "epoch": epoch,
        "input": f"Complete the sentence: {doc['text']}",
        "target": "",
        "messages": [message],
        "output": {"model": "model", "choices": choices, "completion": text},
        "scores": {"valence": {"value": {"outcome": 0.0}, "explanation": "answered"}},
        "metadata": {**doc, "sample_index": index},
        "attachments": {},
        "events": [],
    }


def members(log: dict) -> dict[str, bytes]:
    """The members of a .eval archive of such a log."""
    header = {name: value for name, value in log.items() if name != "samples"}
    start = {name: header[name] for name in ("version", "eval", "plan")}
    named = {"_journal/start.json": start, "_journal/summaries/1.json": []}
    named |= {f"samples/{each['id']}_epoch_{each['epoch']}.json": each for each in log["samples"]}
    named |= {"summaries.json": [], "header.json": header}
    return {name: json.dumps(value, ensure_ascii=False).encode() for name, value in named.items()}


def write_deflated(path: Path, content: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in content.items():
            archive.writestr(name, data)


def write_zstandard(path: Path, content: dict[str, bytes], stated_size: int | None = None) -> None:
    """A zip archive with method 93, byte by byte, as Python's zipfile writes it from 3.14 on."""
    body, directory = b"", b""
    for name, data in content.items():
        packed, label = pyarrow.compress(data, "zstd", asbytes=True), name.encode()
        size = len(data) if stated_size is None else stated_size
        common = struct.pack(
            "<HHHHHIIIHH", 63, 2048, 93, 0, 33, zlib.crc32(data), len(packed), size, len(label), 0
        )
        directory += b"PK\x01\x02" + struct.pack("<H", 63) + common
        directory += struct.pack("<HHHII", 0, 0, 0, 0, len(body)) + label
        body += b"PK\x03\x04" + common + label + packed
    end = struct.pack("<HHHHIIH", 0, 0, len(content), len(content), len(directory), len(body), 0)
    path.write_bytes(body + directory + b"PK\x05\x06" + end)
