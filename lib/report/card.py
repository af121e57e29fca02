"""The card of a finished run: what was asked, what leaked, how certain that is, and example pairs.

`lines` formats the card of one model for a terminal. `markdown` formats all models of a set, with the
metadata (`model-index`) that the Hugging Face hub reads from a model card. `lib.report.results` computes the
contents.
"""

import json

import numpy as np
import pandas as pd
from huggingface_hub import EvalResult, ModelCardData
from rich.cells import cell_len, set_cell_size

from lib.analysis import leakage
from lib.claims import board
from lib.config.specs import ParameterError
from lib.nlp.text import in_markdown
from lib.report import reports, results
from lib.storage import records

REFERENCE = "embedded"  # the set whose models are shown for comparison; its card is part of the project
WIDTH = 100  # columns of a terminal


def write(set_name: str) -> dict | None:
    """Write card.json and card.md of a finished run.

    Returns:
        The card; None if the run has none (`results.of_run`).
    """
    card = results.of_run(set_name)
    if card:
        folder = records.run_folder(set_name)
        records.write_text(folder / "card.json", json.dumps(card, indent=1, ensure_ascii=False) + "\n")
        records.write_text(folder / "card.md", markdown(card))
    return card


def read(set_name: str) -> dict | None:
    """Read the card that a run has left.

    Returns:
        The card; None if there is none.

    Raises:
        ParameterError: If card.json is damaged; the message names the command that restores it.
    """
    path = records.run_folder(set_name) / "card.json"
    if not path.is_file():
        return None
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
        _ = card["variances"], card["models"]
    except (ValueError, KeyError, TypeError):
        remedy = (
            f"git checkout outputs/{set_name}/card.json"
            if set_name == REFERENCE
            else f"make reproduce SET={set_name}"
        )
        raise ParameterError(f"outputs/{set_name}/card.json is damaged; make it anew: {remedy}") from None
    return card


def _shown(model: dict, arm: str, quantity: str) -> tuple[str, int, int]:
    """An estimate with its interval (two digits for the shift), n and stems."""
    row = next((row for row in model["quantities"] if (row["arm"], row["quantity"]) == (arm, quantity)), None)
    if row is None:
        return reports.NOT_ESTIMATED, 0, 0
    values = pd.Series(
        {name: np.nan if value is None else value for name, value in row.items()}
    ).infer_objects()
    return (
        reports.interval(values, 2 if quantity == "shift" else 1, quantity != "leak"),
        row["n"],
        row["n_stems"],
    )


def verdict(model: dict) -> str:
    """The verdict on C0 in plain words, with its reason, and that of the second judge where it differs."""
    leaks = model["leaks"]
    second = f" ({leaks['second']})" if leaks.get("second") else ""
    plain = {board.SUPPORTED: "it leaks", board.CONTRADICTED: "it does not leak"}.get(leaks["verdict"])
    judged = ", as judged" if plain and leaks.get("as_judged") else ""
    return f"{plain or leaks['verdict']}{judged}: {leaks['reason']}{second}"


def lines(card: dict, stopped: str = "") -> list[str]:
    """Format the card for a terminal: the only or first model of a set.

    Args:
        card: A card of `results.of_run`.
        stopped: What was left undone; "" if nothing was.

    Returns:
        At most 15 lines of at most WIDTH columns.
    """
    model = card["models"][0]
    net, n, stems = _shown(model, "both", "net")
    fields = {
        "asked": f"{_asked(model)}; {model['mode']} mode, T {card['temperature']:g}",
        "unusable": _unusable(model["missing"]),
        "net excess": f"{_in_unit(net, ' points (0: none)')}, n {n:,} pairs in {stems:,} stems",
        **{f"  {arm}": _parts(model, arm) for arm in leakage.DIRECTIONS},
        "mean shift": f"{_in_unit(_shown(model, 'both', 'shift')[0], ' scale points (0: none)')}; leak rate "
        f"{_in_unit(_shown(model, 'both', 'leak')[0], ' % (50: none)')}",
        "judge": _judge(card["judge"]),
        "pairs": _same(model, n)
        + _furthest(model, "; the {} furthest apart, and one at random, same noise:"),
        **{
            f"  {pair['shift']:+.1f}{' drawn' * pair['random']} #{index}": _pair(pair)
            for index, pair in enumerate(model["pairs"])
        },
        "beside it": "" if card["set"] == REFERENCE else _beside(),
        "stopped": stopped,
        "more": f"outputs/{card['set']}/card.md, card.json; again: make reproduce SET={card['set']}",
    }
    mock_note = "TOY, no conclusion: " if card["is_mock"] else ""
    heading = f"{_cut(model['name'], 40)}: {mock_note}{verdict(model)}"
    return [
        _cut(heading, WIDTH),
        *(_cut(f"{name.split(' #')[0]:<13}{text}", WIDTH) for name, text in fields.items() if text),
    ]


def _cut(text: str, width: int) -> str:
    """Cut text to `width` terminal columns and drop control characters."""
    plain = "".join(letter if letter.isprintable() else " " for letter in text)
    return plain if cell_len(plain) <= width else f"{set_cell_size(plain, width - 1).rstrip()}…"


def _in_unit(estimate: str, unit: str) -> str:
    return estimate if estimate == reports.NOT_ESTIMATED else f"{estimate}{unit}"


def _parts(model: dict, arm: str) -> str:
    net, towards, away = (_shown(model, arm, quantity)[0] for quantity in ("net", "towards", "away"))
    if net == reports.NOT_ESTIMATED:
        return f"{net}, n {_shown(model, arm, 'net')[1]:,}"
    return f"{net} = towards {towards} − away {away}, n {_shown(model, arm, 'net')[1]:,}"


def _same(model: dict, n: int) -> str:
    n = model.get("same_of", n)  # in a card of an earlier version every kind has the same number of pairs
    none = "none of which both completions can be judged"
    return none if not n or model["same"] is None else f"{model['same']:.0f} % of {n:,} get the same verdict"


def _furthest(model: dict, words: str) -> str:
    if model["same"] is None:  # no pair can be judged
        return ""
    furthest = sum(not pair["random"] for pair in model["pairs"])
    return (
        words.format(furthest)
        if furthest
        else ", and none lies further in the direction of its context; one at random:"
    )


def _pair(pair: dict) -> str:
    return (
        f"{_cut(pair['stem'], 40)} | {_cut(pair['completion'], 20)} | neutral: "
        f"{_cut(pair['completion_neutral'], 12)}"
    )


def _beside() -> str:
    """The net excess of the reference models in this project's own run."""
    reference = read(REFERENCE)
    return (
        "; ".join(f"{model['name']} {_shown(model, 'both', 'net')[0]}" for model in reference["models"])
        if reference
        else ""
    )


def _asked(model: dict) -> str:
    counts = (f"{model[name]:,} {name}" for name in ("completions", "groups", "stems"))
    return f"{' in '.join(counts)}, {_samples(model['samples'])} a prompt"


def _samples(samples: int | dict[str, int]) -> str:
    """The number of draws, by arm where arms differ; a card of an earlier version has one number."""
    if isinstance(samples, int) or len(set(samples.values())) == 1:
        return str(samples if isinstance(samples, int) else next(iter(samples.values())))
    return ", ".join(f"{number} ({arm})" for arm, number in samples.items())


def _unusable(missing: dict) -> str:
    worst = (
        f"; at most {missing['in_worst_arm']:.1f} % of an arm ({missing['worst_arm']})"
        if missing["all"]
        else ""
    )
    why = ", ".join(f"{count:,} {outcome}" for outcome, count in missing.get("outcomes", {}).items())
    return f"{missing['all']:.1f} % of completions{f' ({why})' if why else ''}{worst}"


def _judge(judge: dict) -> str:
    """The judge and its agreement with people, on one line of a terminal."""
    rows = judge["agreement"]
    own, rater = ("/".join(f"{row[who]:.2f}".lstrip("0") for row in rows) for who in ("judge", "one_rater"))
    return (
        f"{judge['name']}; r {own}, one rater {rater} "
        f"({'/'.join(row['domain'].split()[0] for row in rows)} texts)"
    )


def _agreement_table(judge: dict) -> str:
    table = pd.DataFrame(judge["agreement"]).rename(
        columns={"domain": "rated texts", "one_rater": "one rater"}
    )
    return table.rename(columns={"judge": judge["name"]}).to_markdown(index=False, floatfmt=".2f")


def markdown(card: dict) -> str:
    """Format the card as Markdown for a model card, with the metadata block first."""
    judged = (
        f"Judged by {card['judge']['name']} (`{card['judge']['version']}`). Its r with people who "
        "rated other texts:"
    )
    sections = [
        f"# Expression leakage: {card['title']}",
        "A mock model: no conclusion is possible." if card["is_mock"] else "",
        *(_section(model, card) for model in card["models"]),
        f"The verdicts are {card['board']}."
        if card.get("board")
        else "",  # absent from a card of an earlier version
        f"## The judge\n\n{judged}\n\n{_agreement_table(card['judge'])}",
    ]
    return f"---\n{_metadata(card)}---\n\n" + "\n\n".join(filter(None, sections)) + "\n"


def _section(model: dict, card: dict) -> str:
    table = pd.DataFrame(
        [
            {
                "contexts": arm if arm != "both" else "negative and positive",
                **{
                    leakage.QUANTITIES[name]: _shown(model, arm, name)[0]
                    for name in ("shift", "net", "towards", "away", "leak")
                },
                "pairs": f"{_shown(model, arm, 'net')[1]:,}",
                "stems": f"{_shown(model, arm, 'net')[2]:,}",
            }
            for arm in ("both", *leakage.DIRECTIONS)
        ]
    )
    pairs = "\n".join(map(_pair_told, model["pairs"]))
    summary = (
        f"**{_sentence(verdict(model))}.** {_asked(model)}, in {model['mode']} mode, at temperature "
        f"{card['temperature']:g} "
        f"and seed {card['seed']}; unusable: {_unusable(model['missing'])}. Brackets are "
        f"{100 * card['confidence']:g} % "
        f"intervals clustered by {model['quantities'][0].get('cluster_unit', 'stems')}. Pairs, each drawn "
        "with the same noise: "
        f"{_same(model, _shown(model, 'both', 'net')[1])}"
        f"{_furthest(model, '; the {} that the judge finds furthest apart, and one at random:')}"
    )
    formatted = table.to_markdown(index=False, disable_numparse=True)
    return f"## {model['name']}\n\n{formatted}\n\n{summary}\n\n{pairs}".rstrip()


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _pair_told(pair: dict) -> str:
    sides = [
        f"*{context}* {stem} **{completion}**"
        for context, stem, completion in (
            map(in_markdown, (pair[f"context{side}"], pair["stem"], pair[f"completion{side}"]))
            for side in ("", "_neutral")
        )
    ]
    return (
        f"- {' · '.join(sides)} ({pair['shift']:+.1f} points of the human "
        f"scale{', drawn at random' * pair['random']})"
    )


def _metadata(card: dict) -> str:
    """The `model-index` of each model as YAML, by huggingface_hub; metric arguments hold intervals and n."""
    blocks = []
    for model in card["models"]:
        entries = []
        for row in model["quantities"]:
            if row["quantity"] not in ("net", "leak") or row["estimate"] is None:
                continue
            metric_args = {
                "contexts": row["arm"],
                "interval": [row["ci_low"], row["ci_high"]],
                "n": row["n"],
                "stems": row["n_stems"],
            }
            entries.append(
                EvalResult(
                    task_type="text-generation",
                    task_name="expression leakage",
                    dataset_type="expression-leakage",
                    dataset_name=f"expression leakage, {card['benchmark']} benchmark",
                    dataset_config=row["arm"],
                    metric_type=row["quantity"],
                    metric_value=row["estimate"],
                    metric_name=leakage.QUANTITIES[row["quantity"]],
                    metric_args=metric_args,
                )
            )
        blocks.append(ModelCardData(model_name=model["name"], eval_results=entries).to_yaml())
    indexes = [block.removeprefix("model-index:\n") for block in blocks]
    return "model-index:\n" + "\n".join(index.rstrip("\n") for index in indexes) + "\n"
