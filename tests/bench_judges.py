"""Which judge agrees best with people, and how fast each is (make bench-judges; 8 minutes on 2 cores, with the fit).

Selection: Pearson's r with the other raters by domain, for VADER, a ridge regression on MiniLM vectors and VADER, and the learned
judge with and without single words to learn from; on documents not seen (two halves), and on a domain of which no text was seen.
To be affordable, each candidate learns from FEW texts (and words in proportion), and is asked of TESTED texts a domain,
the same for all. Beside them the judge in use, which learnt from all texts, and one rater. What is found is kept in
lib/data/judge_selection.csv for notebook 04.
"""

import sys
import time

import numpy as np
import pandas as pd
from sklearn.linear_model import Ridge

from lib import (
    agreement,
    human_ratings,
    judge_selection,
    judges,
    learned_judge,
    resamples,
    similarity,
    taught_words,
    told_feelings,
    vader,
)
from lib.judge_selection import CEILING, CHOSEN, DOCUMENTS, DOMAIN, IN_USE, NOTHING
from lib.specs import Judge
from lib.vader import SCALE

LEARNED, VADER = Judge(name="learned", kind="learned"), Judge(name="VADER", kind="vader")
FEW = 2_000
TESTED = 1_000
CONFIDENCE, DRAWS = 0.95, 400
PENALTY = 3.0
SHORT = 3_000  # completions whose judging is timed
TOKENS = 12


def selection() -> pd.DataFrame:
    """Every candidate on what it did not see, with percentile intervals over documents; columns judge_selection.COLUMNS."""
    ratings, rng = human_ratings.read(), np.random.default_rng(0)
    tested = np.sort(ratings.groupby("domain").sample(TESTED, random_state=0).index)
    divided = agreement.divide_raters(ratings.loc[tested], rng)
    found = []
    for (judge, learnt_from, way), said in said_by_all(ratings, tested, rng).items():
        scored = divided.assign(said=divided["rater"] if judge == CEILING else said)
        for domain, part in scored.groupby("domain", sort=False):
            table = resamples.table(part, _with_others, "document", CONFIDENCE, DRAWS, rng)
            counts = {"n": len(part), "n_documents": part["document"].nunique()}
            found.append(table.assign(judge=judge, learnt_from=learnt_from, tested_on=way, domain=domain, **counts))
    version = learned_judge.version(LEARNED)
    return pd.concat(found, ignore_index=True).assign(version=version)[judge_selection.COLUMNS].round(4)


def _with_others(part: pd.DataFrame, weights: np.ndarray) -> dict[str, np.ndarray]:
    return {"r": resamples.pearson(part["said"], part["others"], weights)}


def said_by_all(ratings: pd.DataFrame, tested: np.ndarray, rng: np.random.Generator) -> dict[tuple[str, int, str], np.ndarray]:
    """What each candidate says of the `tested` rows: judge, texts it learnt from, way of testing -> valences."""
    table, texts = learned_judge.taught(), ratings["text"].tolist()
    in_use, lexicon = learned_judge.out_of_fold(LEARNED, ratings.loc[tested]), vader.valences(texts)
    features = np.column_stack([similarity.embed(texts), lexicon / SCALE])
    ways = {DOCUMENTS: table["document"].map(learned_judge.fold_of).to_numpy(),
            DOMAIN: np.append(pd.factorize(ratings["domain"])[0], np.full(len(table) - len(texts), -1))}  # fmt: skip
    seen = {way: seen_by_each(parts, len(texts), rng) for way, parts in ways.items()}
    jobs = [(judge, way) for way in ways for judge in ("learned, no words", CHOSEN)]
    shares = [[rows if judge == CHOSEN else rows[rows < len(texts)] for rows in seen[way]] for judge, way in jobs]
    fitted = iter(learned_judge.fit(table, [rows for share in shares for rows in share]))

    whole = len(texts) - len(texts) // learned_judge.FOLDS
    found = {
        (CEILING, 0, NOTHING): np.array([]),
        ("VADER", 0, NOTHING): lexicon[tested],
        (IN_USE, whole, DOCUMENTS): in_use,
    }
    for way, parts in ways.items():
        found["ridge", FEW, way] = np.empty(len(tested))
        for part, rows in enumerate(seen[way]):
            learnt, asked = rows[rows < len(texts)], parts[tested] == part
            ridge = Ridge(alpha=PENALTY).fit(features[learnt], table["mean"].iloc[learnt])
            found["ridge", FEW, way][asked] = ridge.predict(features[tested[asked]])
    for (judge, way), share in zip(jobs, shares, strict=True):
        raters = [next(fitted) for _ in share]
        found[judge, FEW, way] = learned_judge.predict_unseen(raters, [texts[row] for row in tested], ways[way][tested])
    return found


def seen_by_each(parts: np.ndarray, texts: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Rows of `taught()` to learn from for each part, none of them in it: FEW of the first `texts`, and words in proportion."""
    words = round(FEW * (len(parts) / texts - 1))
    is_text, found = np.arange(len(parts)) < texts, []
    for part in range(parts.max() + 1):
        drawn = [rng.choice(np.flatnonzero(kind & (parts != part)), count, replace=False)
                 for kind, count in ((is_text, FEW), (~is_text, words))]  # fmt: skip
        found.append(np.sort(np.concatenate(drawn)))
    return found


def plain_and_told() -> None:
    """Print what the learned judge and VADER make of words they were not taught, of the shortest texts, and of told feelings."""
    words, ratings = taught_words.read().query("not told"), human_ratings.read()
    folds, hidden = words["document"].map(learned_judge.fold_of).to_numpy(), np.zeros(len(words))
    said = learned_judge.predict_unseen(learned_judge.in_use(), words["text"].tolist(), folds, hidden)
    rated = words["rated"].to_numpy()
    r = np.corrcoef(said[rated], words["mean"][rated])[0, 1]
    print(f"words unseen, VADER's valence hidden: r = {r:.3f} of the {rated.sum():,} that people rated; "
          f"mean |valence| of the {(~rated).sum():,} taught as 0: {np.abs(said[~rated]).mean():.2f}")  # fmt: skip
    short = ratings[ratings["text"].str.split().str.len() <= agreement.LENGTHS[1]]
    for judge in (LEARNED, VADER):
        valences = judges.of_rated(judge, short)
        r, error = np.corrcoef(valences, short["mean"])[0, 1], np.abs(valences - short["mean"]).mean()
        print(f"{len(short):,} rated texts of 1–5 words, unseen: {judge.name} r = {r:.3f}, mean error {error:.2f} points")
    print(told_feelings.heard(told_feelings.said([LEARNED, VADER])).to_string())


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
    timed = {"VADER": vader.valences, "learned": lambda texts: learned_judge.valences(LEARNED, texts)}
    rows = []
    for name, judge in timed.items():
        judge(short[:64])
        begun = time.perf_counter()
        judge(short)
        made = len(short) / (time.perf_counter() - begun)
        rows.append({"judge": name, "texts/s": made, "products allow": allowed[name], "share": made / allowed[name]})
    print(f"{len(short)} texts of {TOKENS} tokens on one core; matrix products: {rate / 1e9:.0f} GFLOP/s")
    return pd.DataFrame(rows).round(2)


def main() -> int:
    """Print the tables, keep the selection; exit code 1 if the learned judge is not half as fast as its matrix products."""
    if "--speed" not in sys.argv:
        begun, table = time.perf_counter(), selection()
        table.to_csv(judge_selection.FILE, index=False)
        print(judge_selection.shown(table).to_string())
        print(judge_selection.reading(table, LEARNED))
        plain_and_told()
        print(f"selection: {(time.perf_counter() - begun) / 60:.0f} minutes", flush=True)
    fast = speed(human_ratings.read())
    print(fast.to_string(index=False))
    return int(fast["share"].min() < 0.5)


if __name__ == "__main__":
    sys.exit(main())
