"""The explorer of completions as a page or a widget: `python -m lib.site.explorer SET` (make explore).

A reader sees each charged completion beside its neutral partner, filters, sorts and draws pairs at random.
The view is explorer_rows.js (what is computed), explorer.js (what is shown) and explorer.css; its data are
those of `lib.report.pairs`.
"""

import base64
import hashlib
import html as markup
import json
import math
import re
import sys
from pathlib import Path
from string import Template

import anywidget
import pandas as pd
import traitlets

from lib.config import params
from lib.config.specs import ROOT, ParameterError, nearest
from lib.report import pairs, reports
from lib.runtime.command_line import exit_code, new_parser
from lib.runtime.errors import DataError
from lib.storage import records

PROGRAM = "lib.site.explorer"
PAGE = "explorer.html"
CHOICES = ("model", "arm", "emotion", "intensity", "slot", "domain", "mitigation", "outcome")
ORDERS = ("benchmark", "falling", "rising")  # of the shift, but for the first
_FOLDER = ROOT / "lib" / "site"
_BODY_STYLE = ":root { color-scheme: light dark; background: light-dark(#ffffff, #16181c); }\n" + (
    "body { margin: 0; font-family: system-ui, sans-serif; color: light-dark(#212121, #ececec); }\n"
    "main { max-width: 76rem; margin: 0 auto; } h1 { font-size: 1.4rem; }\n"
    "h1, main > p { margin: 1rem 1rem 0; } main > p a { color: inherit; }\n"
)
_MOUNT = (
    'mount(document.getElementById("explorer"), '
    'JSON.parse(document.getElementById("explorer-data").textContent));\n'
)
# the policy lets nothing but this style and this script run, and no request leave the page
_PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src $style_hash; script-src \
$script_hash">
<title>$title: completions</title>
<style>$style</style>
</head>
<body>
<main>
$home<h1>$title: completions</h1>
<div id="explorer"></div>
<noscript>This page needs JavaScript.</noscript>
</main>
<script type="application/json" id="explorer-data">$data</script>
<script type="module">$script</script>
</body>
</html>
""")


def script() -> str:
    """The view as one module, which exports `mount(element, data)` and, for anywidget, `render`."""
    rows, view = (
        (_FOLDER / name).read_text(encoding="utf-8") for name in ("explorer_rows.js", "explorer.js")
    )
    return rows + re.sub(r'^import .* from "\./explorer_rows\.js";\n', "", view, flags=re.MULTILINE)


def style() -> str:
    """The style sheet of the view; all of it is below the class leak-explorer."""
    return (_FOLDER / "explorer.css").read_text(encoding="utf-8")


class Explorer(anywidget.AnyWidget):
    """The explorer in a notebook; it works without the kernel once it is shown."""

    _esm = script()
    _css = style()
    data = traitlets.Dict().tag(sync=True)
    filters = traitlets.Dict().tag(sync=True)


def read(set_name: str) -> dict:
    """Return the data of the explorer (`pairs.to_json`) of a finished run.

    They come from the tables of the run or, in a clone without them, from pairs.json.gz.

    Raises:
        ParameterError: If there is no such set.
        DataError: If the run has neither, or if what it has is damaged or of an older version.
    """
    names = [model.name for model in params.load(set_name).models]
    if all(records.table_path(set_name, f"judgements/{name}").is_file() for name in names):
        return pairs.to_json(set_name)
    kept = pairs.load(set_name)
    if kept is None:
        raise DataError(
            f"set {set_name}: outputs/{set_name}/ holds neither the judgements of its models nor "
            f"{pairs.FILE}\nrun it first: make reproduce SET={set_name}"
        )
    return kept


def html(data: dict, home: str = "") -> str:
    """Return one page that holds everything: it opens from disk and asks no host for anything.

    Args:
        data: As returned by `pairs.to_json`.
        home: The page to go back to, if there is one.
    """
    page_script, page_style = script() + _MOUNT, _BODY_STYLE + style()
    return _PAGE.substitute(
        title=markup.escape(data["title"]),
        home=f'<p><a href="{markup.escape(home)}">Expression leakage</a></p>\n' if home else "",
        style=page_style,
        style_hash=_digest(page_style),
        script=page_script,
        script_hash=_digest(page_script),
        data=embedded(data),
    )


def embedded(data: dict) -> str:
    """The data as JSON that can stand in a script element of a page: no text in it can end that element."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c")


def _digest(text: str) -> str:
    """A source of a content security policy that allows this inline text alone."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode('utf-8')).digest()).decode()}'"


def widget(set_name: str, **filters: str | float) -> Explorer:
    """Return the explorer of a finished run as a widget.

    Args:
        set_name: The parameter set.
        filters: What to begin with: a value of one of CHOICES ("" for all of them), low and high (limits of
            the shift, in points of the scale), text, or order (one of ORDERS).

    Raises:
        ParameterError: If there is no such set, no such filter, or no pair with its value.
        DataError: If the run is not finished (`read`).
    """
    data = read(set_name)
    for name, value in filters.items():
        _check(data, name, value)
    return Explorer(data=data, filters={name: str(value) for name, value in filters.items()})


def of_judgements(judgements: pd.DataFrame, run) -> Explorer:
    """Return the explorer of the judgements that a notebook holds; `run` holds the notebook's parameters."""
    judge = judgements["judge"].iloc[0].partition("-")[0]
    data = pairs.of_judgements(judgements, run.set_name, judge, run.confidence, mock=reports.banner(run))
    return Explorer(data=data, filters={})


def _check(data: dict, name: str, value: str | float) -> None:
    known = (*CHOICES, "low", "high", "text", "order")
    if name not in known:
        raise ParameterError(
            f"filter {name!r}: is not one of {', '.join(known)}{nearest(name, known)}; leave it out"
        )
    if name in ("low", "high") and not _is_number(value):
        raise ParameterError(f"filter {name}={value!r}: is no number; give points of the scale, as 1.5")
    if name not in (*CHOICES, "order") or value == "":
        return
    values = ORDERS if name == "order" else options(data, name)
    if value not in values:
        raise ParameterError(
            f"filter {name}={value!r}: set {data['set']} has {', '.join(values)}{nearest(str(value), values)}"
        )


def _is_number(value: str | float) -> bool:
    try:
        return math.isfinite(float(value))
    except ValueError:
        return False


def options(data: dict, name: str) -> list[str]:
    """The values of a column of the pairs that a reader can choose from, sorted."""
    columns = ("outcome", "neutral_outcome") if name == "outcome" else (name,)
    codes = {code for column in columns for code in data["columns"][column] if code is not None}
    return sorted(data["strings"][code] for code in codes)


def write(set_name: str) -> Path:
    """Write the page of a finished run to outputs/<set>/explorer.html.

    Returns:
        Its path.
    """
    path = records.run_folder(set_name) / PAGE
    records.write_text(path, html(read(set_name)))
    return path


def main() -> int:
    """Write the page of the set that the command line names, and print its path.

    Returns:
        The exit code of `lib.runtime.command_line.exit_code`.
    """
    parser = new_parser(PROGRAM, "Make a page on which the completions of a finished run can be explored.")
    parser.add_argument("set", help="name of the parameter set")
    set_name = parser.parse_args().set
    return exit_code(lambda: print(write(set_name)))


if __name__ == "__main__":
    sys.exit(main())
