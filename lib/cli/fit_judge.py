"""Fit the learned judge and write the file that ships (make fit-judge); the same again on an equal machine.

The regression learns from all of `training_data`, on features of the encoder with its adapter. What is said
of unseen texts comes with the adapter (`lib.judging.adapter`).
"""

import hashlib

import numpy as np
import pandas as pd
from safetensors import safe_open
from safetensors.numpy import save_file

from lib.agreement import charged_threshold, rated_threshold
from lib.corpora import human_ratings
from lib.judging import adapter, learned, mpnet, regression, training_data
from lib.nlp import text, vader
from lib.report import judge_card
from lib.runtime import progress
from lib.storage import packages

_BLOCK = 2048  # texts whose features are made together


def design_of_all(texts: list[str], adapted: bool = True) -> np.ndarray:
    """`regression.design` of all texts, kept in the user's cache for the next fit or comparison (0.6 GB)."""
    made_of = hashlib.sha256("\n".join([feature_code(), str(adapted), *texts]).encode()).hexdigest()[:12]
    path = packages.cache_folder() / f"judge-features-{made_of}.npy"
    if not path.exists():
        making = path.with_suffix(".part.npy")
        np.save(making, read_all(texts, lambda part: regression.design(part, adapted)))
        making.rename(path)
    return np.load(path)


def read_all(texts: list[str], read) -> np.ndarray:
    """`read` of all texts, in blocks of texts alike in length, with a bar."""
    order = np.argsort([len(each) for each in texts], kind="stable")
    blocks = [order[start : start + _BLOCK] for start in range(0, len(order), _BLOCK)]
    found = None
    with progress.bar(
        len(texts), "reading", "texts", costs=[sum(len(texts[row]) for row in rows) for rows in blocks]
    ) as bar:
        for rows in blocks:
            part = read([texts[row] for row in rows])
            found = np.empty((len(texts), part.shape[1]), part.dtype) if found is None else found
            found[rows] = part
            bar.step(len(rows))
    return found


def feature_code() -> str:
    """What features depend on beside the text: versions, and the hash of the adapter."""
    return " ".join([mpnet.VERSION, packages.sha256(adapter.FILE)[:12], vader.VERSION, text.VERSION])


def save(tensors: dict[str, np.ndarray], facts: dict[str, str]) -> None:
    """Write learned.FILE, unless it holds just this: safetensors puts metadata in an order that changes from
    run to run."""
    if learned.FILE.exists():
        with safe_open(learned.FILE, "numpy") as file:
            same = file.metadata() == facts and set(file.keys()) == set(tensors)
            same = same and all(
                np.array_equal(file.get_tensor(name), tensor) for name, tensor in tensors.items()
            )
        if same:
            return
    save_file(tensors, learned.FILE, facts)


def main() -> None:
    """Read every text, fit, and write learned.FILE, the verdicts of learned.STORED, and the card."""
    table = training_data.read()
    read = design_of_all(table["text"].tolist())
    coefficients, intercept = regression.fit_table(read, table)
    ratings, unseen = human_ratings.read(), adapter.unseen(adapter.DOCUMENTS)
    tensors = {"coefficients": coefficients.astype(np.float32), "intercept": np.array(intercept)}
    facts = {
        "encoder": mpnet.ENCODER,
        "layers": ", ".join(map(str, mpnet.LAYERS)),
        "features": feature_code(),
        "adapter": f"rank {adapter.RANK}, {adapter.facts()['numbers']} numbers",
        "penalty": f"{regression.PENALTY:g}",
        "texts": f"{len(ratings):,}",
        "words": f"{len(table) - len(ratings):,}",
        "threshold": round(charged_threshold.fit(rated_threshold.weighed(ratings, unseen)), 3),
    }
    facts = {name: str(fact) for name, fact in facts.items()}
    save(tensors, facts)
    stored = pd.read_csv(learned.STORED, keep_default_na=False)
    said = learned.valences(judge_card.LEARNED, stored["text"].tolist())
    stored.assign(valence=said, version=learned.version(judge_card.LEARNED)).to_csv(
        learned.STORED, index=False
    )
    judge_card.write(facts)
    print(pd.Series(facts).to_string())
    print(f"written: {learned.FILE}, {learned.STORED}, {judge_card.FILE}")


if __name__ == "__main__":
    main()
