"""Which judge agrees best with people, and how fast each is (make bench-judges; about half an hour on 2 quiet cores).

Selection: Pearson's r with the human mean by domain, for VADER, a ridge regression on MiniLM vectors and VADER, and the learned
judge; on documents not seen (two halves), and on a domain of which no text was seen (learning from FEW texts of the others, as
many as each half has).
"""

import sys
import time

import numpy as np
import pandas as pd
from sklearn.linear_model import Ridge
from tqdm import tqdm

from lib import human_ratings, learned_judge, rater, similarity, vader
from lib.params import Judge
from lib.vader import SCALE

LEARNED = Judge(name="learned", kind="learned")
FEW = 11_800
PENALTY = 3.0
SHORT = 3_000  # completions whose judging is timed
TOKENS = 12


def of_domains(ratings: pd.DataFrame, said: np.ndarray) -> dict[str, float]:
    """Pearson's r with the human mean in each domain, and over all."""
    table = ratings.assign(said=said)
    whole = {"all": np.corrcoef(table["said"], table["mean"])[0, 1]}
    return {domain: np.corrcoef(part["said"], part["mean"])[0, 1] for domain, part in table.groupby("domain")} | whole


def unseen_domains(ratings: pd.DataFrame, fit_and_say) -> np.ndarray:
    """What `fit_and_say(seen, unseen)` says of each domain's texts after it learnt from FEW of the others."""
    said = np.empty(len(ratings))
    for domain in tqdm(ratings["domain"].unique(), desc="unseen domains", unit=" domains"):
        unseen = np.flatnonzero(ratings["domain"] == domain)
        others = np.flatnonzero(ratings["domain"] != domain)
        seen = np.sort(np.random.default_rng(0).choice(others, min(FEW, len(others)), replace=False))
        said[unseen] = fit_and_say(seen, unseen)
    return said


def selection(ratings: pd.DataFrame) -> pd.DataFrame:
    """One row a judge and way of testing: r in each domain and over all."""
    texts, means = ratings["text"].tolist(), ratings["mean"].to_numpy()
    folds = ratings["document"].map(learned_judge.fold_of).to_numpy()
    lexicon = vader.valences(texts)
    features = np.column_stack([similarity.embed(texts), lexicon / SCALE])

    def ridge(seen: np.ndarray, unseen: np.ndarray) -> np.ndarray:
        return Ridge(alpha=PENALTY).fit(features[seen], means[seen]).predict(features[unseen])

    def learned(seen: np.ndarray, unseen: np.ndarray) -> np.ndarray:
        epochs = learned_judge.EPOCHS
        with tqdm(total=epochs * -(-len(seen) // rater.BATCH), desc="fitting", unit=" batches") as bar:
            fitted = rater.fit([texts[row] for row in seen], means[seen], learned_judge.FROZEN, epochs, 0, bar.update)
        return rater.predict([fitted], [texts[row] for row in unseen], learned_judge.FROZEN)[:, 0]

    halves = np.empty(len(ratings))
    for fold in range(learned_judge.FOLDS):
        halves[folds == fold] = ridge(np.flatnonzero(folds != fold), np.flatnonzero(folds == fold))
    found = {
        ("VADER", "nothing to learn"): lexicon,
        ("ridge", "unseen documents"): halves,
        ("ridge", "unseen domain"): unseen_domains(ratings, ridge),
        ("learned", "unseen documents"): learned_judge.out_of_fold(LEARNED, ratings),
        ("learned", "unseen domain"): unseen_domains(ratings, learned),
    }
    rows = [{"judge": judge, "tested on": way, **of_domains(ratings, said)} for (judge, way), said in found.items()]
    return pd.DataFrame(rows).round(3)


def speed(ratings: pd.DataFrame) -> pd.DataFrame:
    """Completions a second of each judge on one core, and the share of what its matrix products alone would allow."""
    import torch

    torch.set_num_threads(1)
    tokenizer, encoder = similarity.model()
    ids = tokenizer(ratings["text"].sample(2 * SHORT, random_state=1).tolist(), add_special_tokens=False).input_ids
    short = list(dict.fromkeys(tokenizer.decode(row[:TOKENS]) for row in ids if len(row) >= TOKENS))[:SHORT]
    layers = encoder.config.num_hidden_layers
    passed = learned_judge.FROZEN + learned_judge.FOLDS * (layers - learned_judge.FROZEN)
    weights = sum(weight.numel() for weight in encoder.encoder.parameters()) / layers * passed
    left, right = torch.rand(768, 384), torch.rand(384, 1536)  # as in its largest products
    begun, times = time.perf_counter(), 0
    while time.perf_counter() - begun < 2:
        left @ right
        times += 1
    rate = 2 * 768 * 384 * 1536 * times / (time.perf_counter() - begun)
    allowed = {"VADER": np.nan, "learned": rate / (2 * weights * (TOKENS + 2))}  # two special tokens a text
    judges = {"VADER": vader.valences, "learned": lambda texts: learned_judge.valences(LEARNED, texts)}
    rows = []
    for name, judge in judges.items():
        judge(short[:64])
        begun = time.perf_counter()
        judge(short)
        made = len(short) / (time.perf_counter() - begun)
        rows.append({"judge": name, "texts/s": made, "products allow": allowed[name], "share": made / allowed[name]})
    print(f"{len(short)} texts of {TOKENS} tokens on one core; matrix products: {rate / 1e9:.0f} GFLOP/s")
    return pd.DataFrame(rows).round(2)


def main() -> int:
    """Print the tables; exit code 1 if the learned judge is not at least half as fast as its matrix products."""
    ratings = human_ratings.read()
    fast = speed(ratings)
    print(fast.to_string(index=False), flush=True)
    if "--speed" not in sys.argv:
        print(selection(ratings).to_string(index=False))
    return int(fast["share"].min() < 0.5)


if __name__ == "__main__":
    sys.exit(main())
