"""Shown, not assumed: logs that lm-evaluation-harness and Inspect write of the exported tasks are read as is.

A model of random weights, whose replies hold whatever a tokenizer can write, is asked by both tools: the bare
text, the chat template, two samples a prompt, two epochs, and Inspect's other format. What each tool's own
reader gives is compared with what lib/models/evaluation_logs.py reads: every reply must be there under its
prompt and number, equal in every character. A log cut short must be refused, and one that misses samples
must say how many. (python -m tests.proofs.verify_import, from .venv-extra)
"""

import json
import shutil
import sys
import tempfile
from importlib import metadata
from pathlib import Path
from unittest import mock

import pandas as pd

from lib.cli import export
from lib.models import bundled, evaluation_logs
from lib.runtime.errors import DataError
from tests.proofs import verify_export
from tests.proofs.verify_export import BARE, CHAT, SAMPLED

KEY = ["prompt_id", "sample_index"]


def random_model(folder: Path) -> Path:
    """A Llama of random weights with the bundled model's tokenizer and template."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(bundled.folder())
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = LlamaConfig(vocab_size=len(tokenizer), bos_token_id=1, eos_token_id=2, **shape)
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def epochs(folder: Path) -> pd.DataFrame:
    """Two epochs of two samples, as Inspect's own reader gives them: `replies` of verify_export."""
    from inspect_ai.log import list_eval_logs, read_eval_log

    logs = folder / "inspect_logs" / "epochs"
    verify_export._run(
        f"inspect eval inspect/{export.TASK}.py --model hf/bundled -M model_path={bundled.folder()} "
        f"-M do_sample=true --temperature 0.7 --epochs 2 -T samples=2 --limit 20 --log-dir {logs} "
        "--display none".split(),
        folder,
    )
    log = read_eval_log(list_eval_logs(str(logs))[0])
    rows = [
        (
            each.metadata["prompt_id"],
            2 * (each.epoch - 1) + each.metadata["sample_index"],
            each.output.completion,
            True,
        )
        for each in log.samples
    ]
    return verify_export._table(rows)


def compared(label: str, path: Path, replies: pd.DataFrame) -> dict:
    """One row of the table printed: how many replies of the tool's own reader are read here, and equal."""
    log = evaluation_logs.read(path)
    both = replies.merge(log.table, on=KEY, how="outer", validate="one_to_one")
    first = log.table.iloc[0]
    row = {
        "log": label,
        "replies": len(replies),
        "read": len(log.table),
        "equal": int((both["reply"] == both["completion"]).sum()),
        "not ASCII": int((~replies["reply"].map(str.isascii)).sum()),
        "KiB": path.stat().st_size // 1024,
        "model": first.model[-20:],
        "temperature": first.temperature,
        "notes": len(log.notes),
    }
    print(row, *log.notes, sep="\n  ", flush=True)
    return row


def refusals(path: Path, folder: Path) -> int:
    """How many damaged copies of a log are read although they are not whole; each refusal is printed."""
    read = 0
    for share in (0.3, 0.9, 0.999):
        cut = folder / f"cut{path.suffix}"
        cut.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
        try:
            evaluation_logs.read(cut)
            read += 1
        except DataError as error:
            print(f"{path.suffix} cut at {share:.1%}: {error}", flush=True)
    return read


def main() -> int:
    """Print one line for each log; exit code 1 if a reply differs, or a cut log is read."""
    print({name: metadata.version(name) for name in ("lm_eval", "inspect_ai")})
    made = export.export(verify_export.SET)
    with tempfile.TemporaryDirectory() as name:
        model = random_model(Path(name) / "model")
        folder = Path(shutil.copytree(made, Path(name) / "export"))
        rows = []
        with mock.patch.object(bundled, "folder", lambda: model):
            for way in (BARE, CHAT, SAMPLED):
                for tool in (verify_export.inspect, verify_export.lm_eval):
                    replies, _ = tool(folder, way)
                    path = verify_export.log_path(folder, tool, way)
                    rows.append(compared(f"{tool.__name__}: {way}", path, replies))
                    if tool is verify_export.inspect:
                        rows.append(compared(f"inspect as JSON: {way}", as_json(path), replies))
            replies = epochs(folder)
        path = next((folder / "inspect_logs" / "epochs").glob("*.eval"))
        rows.append(compared("inspect: 2 epochs of 2 samples", path, replies))
        samples = verify_export.log_path(folder, verify_export.lm_eval, BARE)
        read = sum(refusals(each, Path(name)) for each in (path, as_json(path), samples))
    table = pd.DataFrame(rows)
    print(table.drop(columns="model").to_string(index=False))
    whole = (table["equal"] == table["replies"]) & (table["read"] == table["replies"])
    return int(not whole.all() or read)


def as_json(path: Path) -> Path:
    """Inspect's own conversion of a .eval log to .json."""
    target = path.parent / "json"
    verify_export._run(
        ["inspect", "log", "convert", str(path), "--to", "json", "--output-dir", str(target), "--overwrite"],
        path.parent,
    )
    made = next(target.glob("*.json"))
    json.loads(made.read_text())
    return made


if __name__ == "__main__":
    sys.exit(main())
