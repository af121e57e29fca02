"""The card of a finished run: what was asked, what leaked, how sure that is, and three pairs of completions to look at.

`of_run` computes it, a dict of plain values (card.json); `lines` shows one model's in a terminal, `markdown` all models of a set,
with the metadata (`model-index`) that the Hugging Face hub reads from a model card.
"""

import json

import pandas as pd
from huggingface_hub import EvalResult, ModelCardData

from lib import board, claims, judges, leakage, params, power, records, reports, usability
from lib.measure import budget
from lib.specs import Judge

REFERENCE = "embedded"  # the set whose models stand beside; its card is part of the project
SHOWN = 3  # pairs
WIDTH = 100  # columns of a terminal
_ONE_RATER = ("judge", "one rater")
_BENCHMARKS = {"mining": "mined", "prior": "published prompts", "stems_file": "own sentences", "contexts_file": "own sentences"}


def of_run(set_name: str) -> dict | None:
    """The card of a finished run; None if no completion of it followed a charged context (as in sets of published prompts).

    Keys: set, title, benchmark, toy, judge (name, version, agreement: a list of domain, judge, one_rater), confidence,
    temperature, seed, variances (squared points: stem, group, sample, n_stems, n_groups, n; of a pair's net excess), and models,
    each with what `_of_model` tells.
    """
    parameters = params.load(set_name)
    names = [model.name for model in parameters.models]
    judgements = claims.unmitigated(records.read_models(set_name, "judgements", names))
    pairs = leakage.pairs(judgements)
    if leakage.charged_pairs(pairs).empty:
        return None
    confidence = parameters.judging["confidence"]
    claimed = reports.board(set_name).query("claim == 'C0'").set_index("model")[["verdict", "reason"]]
    of = {name: [table[table["model"] == name] for table in (judgements, pairs)] for name in names}
    found = [_of_model(spec, *of[spec.name], claimed.loc[spec.name].to_dict(), confidence) for spec in parameters.models]
    judge = Judge.model_validate(parameters.judging["judge"])
    known = _variances(pairs)
    return {
        "set": set_name,
        "title": parameters.title,
        "benchmark": next((name for key, name in _BENCHMARKS.items() if parameters.dataset.get(key)), "curated"),
        "toy": parameters.toy,
        "judge": {"name": judge.name, "version": judges.version(judge), "agreement": _agreement(set_name, judge.name)},
        "confidence": confidence,
        "temperature": parameters.generation["temperature"],
        "seed": parameters.generation["seed"],
        "variances": known and {name: _plain(value) for name, value in vars(known).items()},
        "models": found,
    }


def _variances(pairs: pd.DataFrame) -> power.Components | None:
    try:
        return budget.variances(power.contrasts(pairs))
    except ValueError:  # one stem
        return None


def _of_model(spec, judgements: pd.DataFrame, pairs: pd.DataFrame, leaks: dict, confidence: float) -> dict:
    """A model's part: name, id, mode, counts, missing (% of all and of the worst arm), leaks (verdict and reason of C0),
    quantities (a row each: arm, 'both' for the two polarities together, quantity, estimate, low, high, n, n_stems), same (% of
    pairs whose verdicts are the same), pairs."""
    charged = leakage.charged_pairs(pairs)
    by_arm = leakage.summarise(charged, ["arm"], confidence)
    both = leakage.summarise(charged, ["model"], confidence).assign(arm="both").drop(columns="model")
    columns = ["arm", "quantity", "estimate", "low", "high", "n", "n_stems"]
    rows = pd.concat([both, by_arm])[columns].to_dict("records")
    lost, known = 100.0 * usability.is_missing(judgements), charged.dropna(subset="net")
    of_arm = lost.groupby(judgements["arm"]).mean()
    return {
        "name": spec.name,
        "id": spec.id,
        "mode": spec.mode,
        "completions": len(judgements),
        "stems": judgements["stem_id"].nunique(),
        "groups": judgements["group_id"].nunique(),
        "samples": int(judgements["sample_index"].max()) + 1,
        "missing": {"all": _plain(lost.mean()), "worst_arm": of_arm.idxmax(), "in_worst_arm": _plain(of_arm.max())},
        "leaks": leaks,
        "quantities": [{key: _plain(value) for key, value in row.items()} for row in rows],
        "same": _plain(100.0 * ((known["towards"] == 0) & (known["away"] == 0)).mean()),
        "pairs": _clearest(charged, judgements),
    }


def _clearest(charged: pd.DataFrame, judgements: pd.DataFrame) -> list[dict]:
    """The SHOWN pairs of distinct stems that the judge finds furthest apart in the injected direction, closed slots first."""
    ranked = charged[charged["shift"] > 0].assign(open=charged["slot"] != "closed")
    ranked = ranked.sort_values(["open", "shift", "group_id", "sample_index"], ascending=[True, False, True, True])
    key = ["group_id", "sample_index"]
    neutral = judgements[judgements["arm"] == "neutral"].set_index(key)[["context", "completion"]]
    best = ranked.drop_duplicates("stem_id").head(SHOWN).merge(neutral, left_on=key, right_index=True, suffixes=("", "_neutral"))
    columns = ["arm", "shift", "context", "stem", "completion", "context_neutral", "completion_neutral"]
    return [{name: _plain(value) for name, value in row.items()} for row in best[columns].to_dict("records")]


def _agreement(set_name: str, judge: str) -> list[dict]:
    """Pearson's r of the judge, and of one rater, with the mean of the other raters, in each domain of rated texts."""
    table = records.read_table(set_name, "validity")
    own = table[(table["judge"] == judge) & (table["by"] == "domain") & table["measure"].isin(_ONE_RATER)]
    wide = own.pivot_table(index="level", columns="measure", values="estimate", sort=False)
    return [
        {"domain": domain, "judge": _plain(row["judge"]), "one_rater": _plain(row["one rater"])}
        for domain, row in wide.iterrows()
    ]


def _plain(value):
    """A value as JSON has it: rounded, None for NaN."""
    if isinstance(value, str | bool) or value is None:
        return value
    return None if pd.isna(value) else round(float(value), 6) if isinstance(value, float) else int(value)


def write(set_name: str) -> dict | None:
    """Write card.json and card.md of a finished run; returns the card."""
    card = of_run(set_name)
    if card:
        folder = records.run_folder(set_name)
        records.write_text(folder / "card.json", json.dumps(card, indent=1, ensure_ascii=False) + "\n")
        records.write_text(folder / "card.md", markdown(card))
    return card


def read(set_name: str) -> dict | None:
    """The card that a run has left; None if there is none."""
    path = records.run_folder(set_name) / "card.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def _shown(model: dict, arm: str, quantity: str) -> tuple[str, int, int]:
    """An estimate with its interval as people read it, n and stems."""
    row = next(row for row in model["quantities"] if (row["arm"], row["quantity"]) == (arm, quantity))
    known = pd.Series(row).infer_objects()
    return reports.interval(known, sign=quantity != "leak"), row["n"], row["n_stems"]


def verdict(model: dict) -> str:
    """C0 of the claims board in plain words, with its reason."""
    found = model["leaks"]
    plain = {board.SUPPORTED: "it leaks", board.CONTRADICTED: "it leaks the other way round"}
    return f"{plain.get(found['verdict'], found['verdict'])}: {found['reason']}"


def lines(card: dict, stopped: str = "") -> list[str]:
    """The card of a set's only or first model, at most 15 lines of at most WIDTH columns; `stopped` says what was left undone."""
    model = card["models"][0]
    net, n, stems = _shown(model, "both", "net")
    said = {
        "asked": f"{_asked(model)}; {model['mode']} mode, T {card['temperature']:g}",
        "unusable": _unusable(model["missing"]),
        "net excess": f"{net} points (0: none), n {n:,} pairs in {stems:,} stems",
        **{f"  {arm}": _parts(model, arm) for arm in leakage.DIRECTIONS},
        "leak rate": f"{_shown(model, 'both', 'leak')[0]} % (50: none)",
        "judge": _judge(card["judge"]),
        "pairs": f"{model['same']:.0f} % of {n:,} get the same verdict{_furthest(model, '; the {} furthest apart, same noise:')}",
        **{f"  {pair['shift']:+.1f} #{place}": _pair(pair) for place, pair in enumerate(model["pairs"])},
        "beside it": "" if card["set"] == REFERENCE else _beside(),
        "stopped": stopped,
        "more": f"outputs/{card['set']}/card.md, card.json; again: make reproduce SET={card['set']}",
    }
    toy = "TOY, no conclusion: " if card["toy"] else ""
    headed = f"{model['name']}: {toy}{verdict(model)}"
    return [_cut(headed, WIDTH), *(_cut(f"{name.split(' #')[0]:<13}{text}", WIDTH) for name, text in said.items() if text)]


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1].rstrip()}…"


def _parts(model: dict, arm: str) -> str:
    net, towards, away = (_shown(model, arm, quantity)[0] for quantity in ("net", "towards", "away"))
    return f"{net} = towards {towards} − away {away}, n {_shown(model, arm, 'net')[1]:,}"


def _furthest(model: dict, words: str) -> str:
    return words.format(len(model["pairs"])) if model["pairs"] else ", and none lies further in the direction of its context"


def _pair(pair: dict) -> str:
    return f"{_cut(pair['stem'], 40)} | {_cut(pair['completion'], 20)} | neutral: {_cut(pair['completion_neutral'], 12)}"


def _beside() -> str:
    """The net excess of the reference models, as this project's own run found it."""
    reference = read(REFERENCE)
    return "; ".join(f"{model['name']} {_shown(model, 'both', 'net')[0]}" for model in reference["models"]) if reference else ""


def _asked(model: dict) -> str:
    counts = (f"{model[name]:,} {name}" for name in ("completions", "groups", "stems"))
    return f"{' in '.join(counts)}, {model['samples']} a prompt"


def _unusable(missing: dict) -> str:
    worst = f"; at most {missing['in_worst_arm']:.1f} % of an arm ({missing['worst_arm']})" if missing["all"] else ""
    return f"{missing['all']:.1f} % of completions{worst}"


def _judge(judge: dict) -> str:
    """The judge and its agreement with people, on one line of a terminal."""
    rows = judge["agreement"]
    own, rater = ("/".join(f"{row[who]:.2f}".lstrip("0") for row in rows) for who in ("judge", "one_rater"))
    return f"{judge['name']}; r {own}, one rater {rater} ({'/'.join(row['domain'].split()[0] for row in rows)} texts)"


def _agreement_table(judge: dict) -> str:
    table = pd.DataFrame(judge["agreement"]).rename(columns={"domain": "rated texts", "one_rater": "one rater"})
    return table.rename(columns={"judge": judge["name"]}).to_markdown(index=False, floatfmt=".2f")


def markdown(card: dict) -> str:
    """The card to be pasted into a model card, the metadata block first."""
    judged = f"Judged by {card['judge']['name']} (`{card['judge']['version']}`). Its r with people who rated other texts:"
    sections = [
        f"# Expression leakage: {card['title']}",
        "A canned model: no conclusion is possible." if card["toy"] else "",
        *(_section(model, card) for model in card["models"]),
        f"## The judge\n\n{judged}\n\n{_agreement_table(card['judge'])}",
    ]
    return f"---\n{_metadata(card)}---\n\n" + "\n\n".join(filter(None, sections)) + "\n"


def _section(model: dict, card: dict) -> str:
    table = pd.DataFrame(
        [
            {
                "contexts": arm if arm != "both" else "negative and positive",
                **{leakage.QUANTITIES[name]: _shown(model, arm, name)[0] for name in ("net", "towards", "away", "leak")},
                "pairs": f"{_shown(model, arm, 'net')[1]:,}",
                "stems": f"{_shown(model, arm, 'net')[2]:,}",
            }
            for arm in ("both", *leakage.DIRECTIONS)
        ]
    )
    pairs = "\n".join(map(_pair_told, model["pairs"]))
    said = (
        f"**{verdict(model).capitalize()}.** {_asked(model)}, in {model['mode']} mode, at temperature {card['temperature']:g} "
        f"and seed {card['seed']}; unusable: {_unusable(model['missing'])}. Brackets are {100 * card['confidence']:g} % "
        f"intervals clustered by stem. The {len(model['pairs'])} pairs that the judge finds furthest apart, of "
        f"{_shown(model, 'both', 'net')[1]:,} drawn with the same noise, {model['same']:.0f} % of which get the same verdict:"
    )
    return f"## {model['name']}\n\n{table.to_markdown(index=False, disable_numparse=True)}\n\n{said}\n\n{pairs}".rstrip()


def _pair_told(pair: dict) -> str:
    sides = [f"*{pair['context' + side]}* {pair['stem']} **{pair['completion' + side]}**" for side in ("", "_neutral")]
    return f"- {' · '.join(sides)} ({pair['shift']:+.1f} points of the human scale)"


def _metadata(card: dict) -> str:
    """The `model-index` of each model as YAML, by huggingface_hub; intervals and n as arguments of the metric."""
    blocks = []
    for model in card["models"]:
        results = []
        for row in model["quantities"]:
            if row["quantity"] not in ("net", "leak") or row["estimate"] is None:
                continue
            told = {"contexts": row["arm"], "interval": [row["low"], row["high"]], "n": row["n"], "stems": row["n_stems"]}
            results.append(
                EvalResult(
                    task_type="text-generation",
                    task_name="expression leakage",
                    dataset_type="expression-leakage",
                    dataset_name=f"expression leakage, {card['benchmark']} benchmark",
                    dataset_config=row["arm"],
                    metric_type=row["quantity"],
                    metric_value=row["estimate"],
                    metric_name=leakage.QUANTITIES[row["quantity"]],
                    metric_args=told,
                )
            )
        blocks.append(ModelCardData(model_name=model["name"], eval_results=results).to_yaml())
    indexes = [block.removeprefix("model-index:\n") for block in blocks]
    return "model-index:\n" + "\n".join(index.rstrip("\n") for index in indexes) + "\n"
