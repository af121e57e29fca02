"""Fit the learned judge and write the file that ships with the project (make fit-judge).

A second fit on an equal machine gives the same file. The regression is fitted to all of `training_data`, on
features of the encoder with its adapter. The statements about unseen texts come with the adapter
(`lib.judging.adapter`).
"""

import hashlib

import numpy as np
import pandas as pd
from safetensors import safe_open
from safetensors.numpy import save_file

from lib.agreement import charged_threshold, rated_threshold
from lib.corpora import human_ratings
from lib.judging import adapter, learned, mpnet, regression, training_data
from lib.nlp import batches, text, vader
from lib.report import judge_card
from lib.runtime import progress
from lib.storage import caching, records

_BLOCK = 2048  # texts whose features are computed together


def design_of_all(texts: list[str], adapted: bool = True) -> np.ndarray:
    """Compute `regression.design` of all texts.

    The result (0.6 GB) is stored in the user's cache for the next fit or comparison.
    """
    key = hashlib.sha256("\n".join([feature_code(), str(adapted), *texts]).encode()).hexdigest()[:12]
    path = caching.cache_folder() / f"judge-features-{key}.npy"
    if not path.exists():
        with caching.whole(path) as tmp_path:
            np.save(tmp_path, read_all(texts, lambda block: regression.design(block, adapted)))
    with caching.undamaged(path):
        return np.load(path)


def read_all(texts: list[str], read) -> np.ndarray:
    """Apply `read` to all texts, in blocks of texts of similar length, with a progress bar.

    Returns:
        One row per text, in the order of `texts`.
    """
    blocks = batches.by_length([len(each) for each in texts], _BLOCK)
    result: np.ndarray | None = None
    with progress.bar(
        len(texts), "reading", "texts", costs=[sum(len(texts[row]) for row in rows) for rows in blocks]
    ) as bar:
        for rows in blocks:
            features = read([texts[row] for row in rows])
            result = np.empty((len(texts), features.shape[1]), features.dtype) if result is None else result
            result[rows] = features
            bar.step(len(rows))
    assert result is not None
    return result


def feature_code() -> str:
    """What features depend on besides the text: versions, and the hash of the adapter."""
    return " ".join([mpnet.VERSION, caching.sha256(adapter.FILE)[:12], vader.VERSION, text.VERSION])


def save(tensors: dict[str, np.ndarray], facts: dict[str, str]) -> None:
    """Write learned.FILE, unless it already holds exactly these tensors and facts.

    safetensors orders metadata differently from run to run, so writing it again would change the file.
    """
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
    features = design_of_all(table["text"].tolist())
    coefficients, intercept = regression.fit_table(features, table)
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
        "threshold": str(round(charged_threshold.fit(rated_threshold.weighed(ratings, unseen)), 3)),
    }
    save(tensors, facts)
    stored = pd.read_csv(learned.STORED, keep_default_na=False)
    valences = learned.valences(judge_card.LEARNED, stored["text"].tolist())
    stored = stored.assign(valence=valences, version=learned.version(judge_card.LEARNED))
    records.write_text(learned.STORED, stored.to_csv(index=False))
    judge_card.write(facts)
    print(pd.Series(facts).to_string())
    print(f"written: {learned.FILE}, {learned.STORED}, {judge_card.FILE}")


if __name__ == "__main__":
    main()
