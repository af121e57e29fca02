"""Write the README's numbers from the reference run: `python -m lib.readme` (make readme)."""

import re
import sys

import pandas as pd

from lib import claims, forest, leakage, params, records, reports

SET, MINED_SET = "embedded", "commoncrawl"
PICTURE = "outputs/claims.svg"


def example(set_name: str) -> str:
    """The strongest leak of a run in a closed slot, beside the completion that the same noise gave after a neutral context."""
    judgements = claims.unmitigated(records.read_models(set_name, "judgements", _names(set_name)))
    pairs = leakage.charged_pairs(leakage.pairs(judgements))
    pairs = pairs[(pairs["slot"] == "closed") & ~pairs["repeats"]]
    leak = pairs.sort_values(["shift", "group_id", "sample_index"], ascending=[False, True, True]).iloc[0]
    same = ["model", "group_id", "sample_index"]
    neutral = judgements[(judgements["arm"] == "neutral") & (judgements[same] == leak[same]).all(axis=1)].iloc[0]
    return (
        f"> *{leak.context}* {leak.stem} **{leak.completion}**\n>\n"
        f"> *{neutral.context}* {neutral.stem} **{neutral.completion}**\n\n"
        f"Two real completions by `{leak.model}`, drawn with the same noise: of all pairs in slots where sentiment has no\n"
        f"business, the one that the judge finds furthest apart ({leak['shift']:+.1f} points of the human scale)."
    )


def board(set_name: str, mined_set: str) -> pd.DataFrame:
    """The claims board of a run, with C5 from the run on a mined benchmark."""
    curated, mined = reports.board(set_name), reports.board(mined_set)
    return pd.concat([curated[curated["claim"] != "C5"], mined[mined["claim"] == "C5"]], ignore_index=True)


def _names(set_name: str) -> list[str]:
    return [model.name for model in params.load(set_name).models]


def fill(text: str, marker: str, content: str) -> str:
    """`text` with what stands between `<!-- marker -->` and `<!-- /marker -->` replaced; ValueError if they are missing."""
    pattern = re.compile(rf"(<!-- {marker} -->\n).*?(<!-- /{marker} -->)", re.DOTALL)
    if not pattern.search(text):
        raise ValueError(f"README.md: has no place marked {marker!r}; put <!-- {marker} --> and <!-- /{marker} --> around it")
    return pattern.sub(lambda match: f"{match[1]}{content}\n{match[2]}", text)


def main() -> int:
    """Fill README.md and draw its forest plot; exit code 1 and a short message if the reference run is not there."""
    path = records.ROOT / "README.md"
    try:
        text = fill(path.read_text(encoding="utf-8"), "example", example(SET))
        claimed = board(SET, MINED_SET)
        records.write_text(records.ROOT / PICTURE, forest.svg(claimed, reports.stamp(params.load(SET))))
        records.write_text(path, fill(text, "headline", forest.markdown(claimed, PICTURE)))
    except (ValueError, OSError) as error:
        print(f"error: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
