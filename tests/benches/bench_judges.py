"""Which judge agrees best with people, and how fast it is (make bench-judges; some 20 minutes on 2 cores).

Every candidate is a ridge regression on some reading of a text (encoder, layers, pooling) with VADER's
valence beside it, taught by all texts, with words or without, every domain weighing the same or every text.
Each is asked on documents it has not seen (the folds of `lib.judging.regression`) and on a domain of which it
has seen no text: Pearson's r with the other raters, beside VADER and one rater; all with one penalty. For the
judge in use, whose encoder has an adapter, both lie in the adapter's file, for its trainings want a GPU;
domains that it was not tried without are left out. What is found is kept in lib/data/judge_selection.csv for
notebook 04. --chosen measures the judge in use alone and keeps the other rows; --speed measures the speed
alone.
"""

import sys
import time

import numpy as np
import pandas as pd

from lib.agreement import face_validity, rated_agreement
from lib.cli import fit_judge
from lib.config.specs import LearnedJudge, VaderJudge
from lib.corpora import human_ratings
from lib.judging import adapter, adapter_training, judges, learned, mpnet, regression, training_data
from lib.nlp import similarity, vader
from lib.report import judge_selection
from lib.report.judge_selection import CEILING, CHOSEN, DOCUMENTS, DOMAIN, FROZEN, NULL_VALUE
from lib.stats import resamples

LEARNED, VADER = LearnedJudge(name="learned"), VaderJudge(name="VADER")
CONFIDENCE, DRAWS = 0.95, 400
SHORT = 2_000  # completions whose judging is timed
TOKENS = 12
LAYERS = mpnet.LAYERS


def blocks(layers: tuple[int, ...], poolings: tuple[str, ...]) -> np.ndarray:
    """Columns of `regression.design` that hold these layers and poolings, and VADER's."""
    places = [
        (LAYERS.index(layer) * len(mpnet.POOLINGS) + mpnet.POOLINGS.index(pooling)) * mpnet.WIDTH
        for layer in layers
        for pooling in poolings
    ]
    width = len(LAYERS) * len(mpnet.POOLINGS) * mpnet.WIDTH
    return np.concatenate([*(np.arange(place, place + mpnet.WIDTH) for place in places), [width]])


CANDIDATES = {  # name -> columns (None: MiniLM's), words, domains weigh the same
    "MiniLM, ridge": (None, True, True),
    "mpnet, layer 9, mean": (blocks((9,), ("mean",)), True, True),
    "mpnet, layers 7, 9, 11, mean": (blocks(LAYERS, ("mean",)), True, True),
    FROZEN: (blocks(LAYERS, mpnet.POOLINGS), True, True),
    f"{FROZEN}, without words": (blocks(LAYERS, mpnet.POOLINGS), False, True),
    f"{FROZEN}, every text weighs the same": (blocks(LAYERS, mpnet.POOLINGS), True, False),
}


def selection(said_by: dict[tuple[str, int, str], np.ndarray]) -> pd.DataFrame:
    """Each of `said_by` on what it did not see, with percentile intervals over documents; columns
    judge_selection.COLUMNS."""
    rng = np.random.default_rng(0)
    divided, found = rated_agreement.divide_raters(human_ratings.read(), rng), []
    for (judge, learnt_from, way), said in said_by.items():
        scored = divided.assign(said=divided["rater"] if judge == CEILING else said).dropna(subset="said")
        for domain, part in scored.groupby("domain", sort=False):
            table = resamples.table(part, _with_others, "document", CONFIDENCE, DRAWS, rng)
            counts = {"n": len(part), "n_documents": part["document"].nunique()}
            found.append(
                table.assign(judge=judge, learnt_from=learnt_from, tested_on=way, domain=domain, **counts)
            )
    version = learned.version(LEARNED)
    return pd.concat(found, ignore_index=True).assign(version=version)[judge_selection.COLUMNS].round(4)


def _with_others(part: pd.DataFrame, weights: np.ndarray) -> dict[str, np.ndarray]:
    return {"r": resamples.pearson(part["said"], part["others"], weights)}


def said_by_chosen() -> dict[tuple[str, int, str], np.ndarray]:
    """As `said_by_candidates`, of the judge in use; NaN for the texts of a domain that it was not tried
    without."""
    table, found = training_data.read(), {}
    splits = {DOCUMENTS: regression.folds(table), DOMAIN: adapter_training.domains(table)}
    for way, name in ((DOCUMENTS, adapter.DOCUMENTS), (DOMAIN, adapter.DOMAIN)):
        said = adapter.unseen(name)
        tried = [len(seen) for seen, out in splits[way] if not np.isnan(said[out[out < len(said)]]).all()]
        found[CHOSEN, round(np.mean(tried)), way] = said
    return found


def said_by_candidates() -> dict[tuple[str, int, str], np.ndarray]:
    """Candidate, texts and words it learnt from on average, way of testing -> its valences of the rated
    texts, in their order."""
    table = training_data.read()
    texts, rated = table["text"].tolist(), (table["domain"] != training_data.WORDS).to_numpy()
    read = fit_judge.design_of_all(texts, adapted=False)
    small = np.column_stack([similarity.embed(texts), read[:, -1]])
    found = {(CEILING, 0, NULL_VALUE): np.array([]), ("VADER", 0, NULL_VALUE): read[rated, -1]}
    for name, (columns, with_words, balanced) in CANDIDATES.items():
        kept = rated | with_words
        part = table[kept].reset_index(drop=True)
        part = part if balanced else part.assign(weight=1.0)
        own = (small if columns is None else read[:, columns])[kept]
        for way, splits in (
            (DOCUMENTS, list(regression.folds(part))),
            (DOMAIN, list(adapter_training.domains(part))),
        ):
            learnt_from = round(np.mean([len(seen) for seen, _ in splits]))
            found[name, learnt_from, way] = learned.rounded(
                regression.predict_unseen(own, part, splits)[: rated.sum()]
            )
            print(f"{name}, {way}", flush=True)
    return found


def plain_and_told() -> None:
    """Print what the learned judge and VADER make of the shortest texts, and of told feelings."""
    ratings = human_ratings.read()
    short = ratings[ratings["text"].str.split().str.len() <= rated_agreement.LENGTHS[1]]
    for judge in (LEARNED, VADER):
        valences = judges.of_rated(judge, short)
        r, error = np.corrcoef(valences, short["mean"])[0, 1], np.abs(valences - short["mean"]).mean()
        print(
            f"{len(short):,} rated texts of 1–5 words, unseen: {judge.name} r = {r:.3f}, mean error "
            f"{error:.2f} points"
        )
    print(face_validity.by_feeling(face_validity.scores([LEARNED, VADER])).to_string())


def speed(ratings: pd.DataFrame) -> pd.DataFrame:
    """Completions a second of each judge on all cores, and the share of what its matrix products alone would
    allow."""
    import torch

    tokenizer, encoder = mpnet.load(max(LAYERS), True)
    ids = tokenizer(
        ratings["text"].sample(2 * SHORT, random_state=1).tolist(), add_special_tokens=False
    ).input_ids
    short = list(dict.fromkeys(tokenizer.decode(row[:TOKENS]) for row in ids if len(row) >= TOKENS))[:SHORT]
    weights = sum(weight.numel() for weight in encoder.encoder.parameters())
    left, right = torch.rand(1024, 768), torch.rand(768, 3072)  # as in its largest products
    begun, times = time.perf_counter(), 0
    while time.perf_counter() - begun < 2:
        left @ right
        times += 1
    rate = 2 * 1024 * 768 * 3072 * times / (time.perf_counter() - begun)
    allowed = {"VADER": np.nan, "learned": rate / (2 * weights * (TOKENS + 2))}  # two special tokens a text
    timed = {"VADER": vader.valences, "learned": lambda texts: learned.valences(LEARNED, texts)}
    rows = []
    for name, judge in timed.items():
        judge(short[:64])
        begun = time.perf_counter()
        judge(short)
        made = len(short) / (time.perf_counter() - begun)
        rows.append(
            {"judge": name, "texts/s": made, "products allow": allowed[name], "share": made / allowed[name]}
        )
    print(f"{len(short)} texts of {TOKENS} tokens on all cores; matrix products: {rate / 1e9:.0f} GFLOP/s")
    return pd.DataFrame(rows).round(2)


def main() -> int:
    """Print the tables, keep the selection; exit code 1 if the learned judge has not 60 % of the speed of its
    matrix products."""
    if "--speed" not in sys.argv:
        begun = time.perf_counter()
        table = selection(
            said_by_chosen() if "--chosen" in sys.argv else said_by_candidates() | said_by_chosen()
        )
        if "--chosen" in sys.argv:
            others = judge_selection.read().query("judge != @CHOSEN")
            table = pd.concat([others.assign(version=table["version"].iloc[0]), table], ignore_index=True)
        table.to_csv(judge_selection.FILE, index=False)
        print(judge_selection.format_table(table).to_string())
        print(judge_selection.summary(table, LEARNED))
        plain_and_told()
        print(f"selection: {(time.perf_counter() - begun) / 60:.0f} minutes", flush=True)
    fast = speed(human_ratings.read())
    print(fast.to_string(index=False))
    return int(fast["share"].min() < 0.6)


if __name__ == "__main__":
    sys.exit(main())
