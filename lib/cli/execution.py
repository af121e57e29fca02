"""Execute one notebook, and remove from the page what differs between equal runs."""

import sys
import time
from pathlib import Path

import yaml
from tenacity import retry, retry_if_exception_message, stop_after_attempt

from lib.cli import jobs
from lib.config import params, specs
from lib.runtime import errors, progress
from lib.runtime.errors import UserError
from lib.storage import caching, cell_seconds, records

# nbformat imports jsonschema, which would compile a grammar of internationalised addresses: 2 seconds
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]  # None: as if it were not installed

import nbformat  # noqa: E402
import papermill  # noqa: E402
from nbclient.exceptions import DeadKernelError  # noqa: E402

_DIED = "Kernel died before replying"
_GARBLED = "Invalid Signature"  # of a message: the kernel could not finish it


def notebook(name: str, values: Path, executed: Path) -> None:
    """Execute one notebook with the parameters of a YAML file.

    What its cells print goes to standard output or, in a run of the batch, to standard error, which is its
    log.

    Args:
        name: The notebook, without folder and suffix.
        values: YAML file with the values of the parameters cell.
        executed: Path of the executed notebook, which is written.

    Raises:
        DataError: If the file of values is damaged.
        UserError: If a cell fails or the kernel dies; the message names the notebook and its model.
        OSError: If the executed notebook cannot be written.
    """
    cell_values = read_values(name, values)
    model = cell_values.get("model_name") or cell_values.get("model", {}).get("name", "")
    label = f"{name} {model}".strip()
    started = time.monotonic()
    progress.begin(jobs.name_of(executed))
    try:
        with records.explained(executed):
            executed.parent.mkdir(parents=True, exist_ok=True)
            _execute(specs.ROOT / "notebooks" / f"{name}.ipynb", executed, cell_values)
    except papermill.PapermillExecutionError as error:
        if errors.is_memory(error.ename, error.evalue):
            raise UserError(f"{label}: {errors.NO_MEMORY} ({error.ename})") from None
        bug = "" if errors.is_users(error.ename) else f"\n{errors.REPORT} {executed}"
        raise UserError(f"{label}: {error.ename}: {error.evalue}{bug}") from None
    except (RuntimeError, ValueError) as error:
        if not (
            isinstance(error, DeadKernelError) or any(words in str(error) for words in (_DIED, _GARBLED))
        ):
            raise
        raise UserError(
            f"{label}: {error}; its kernel was killed, perhaps for want of memory: lower batch_size"
        ) from None
    took = time.monotonic() - started
    cell_seconds.save(cell_values["set_name"], executed.stem, nbformat.read(executed, as_version=4), took)
    tidy(executed)
    if not progress.tell(end=took):
        print(f"{label} done in {took:.0f} s", flush=True)
    elif name == "03_judging":
        from lib.report import claims_text

        progress.message(claims_text.of_model(cell_values["set_name"], model))


def read_values(notebook: str, path: Path) -> dict:
    """Read the values of a notebook's parameters cell.

    Raises:
        DataError: If the file is damaged.
    """
    with caching.undamaged(path):
        try:
            values = yaml.safe_load(path.read_text(encoding="utf-8"))
        except yaml.YAMLError as error:
            raise ValueError(str(error)) from None
        schema = params.NOTEBOOKS[notebook][1]
        if not isinstance(values, dict) or schema.model_fields.keys() - values.keys():
            raise ValueError("values are missing")
    return values


# kernels that start at the same moment may take the same port; one of them then dies before it has run
# anything
@retry(retry=retry_if_exception_message(match=_DIED), stop=stop_after_attempt(4), reraise=True)
def _execute(source: Path, executed: Path, values: dict) -> None:
    papermill.execute_notebook(
        _literal(source),
        _literal(executed),
        parameters=values,
        kernel_name="python3",
        cwd=specs.ROOT,
        progress_bar=False,
        autosave_cell_every=30,
        stdout_file=sys.stderr if progress.is_told() else sys.stdout,
        stderr_file=sys.stderr if progress.is_told() else sys.stdout,
    )


def _literal(path: Path) -> str:
    """The path in papermill's notation: papermill would fill in what stands in braces."""
    return str(path).replace("{", "{{").replace("}", "}}")


def tidy(executed: Path) -> None:
    """Remove from an executed notebook what differs between equal runs.

    These are times, paths, random ids and printed progress.
    """
    book = nbformat.read(executed, as_version=4)
    book.metadata.pop("papermill", None)
    book.metadata.pop("widgets", None)
    for number, cell in enumerate(book.cells):
        cell.metadata.pop("papermill", None)
        cell.metadata.pop("execution", None)
        if "injected-parameters" in cell.metadata.get("tags", []):
            cell.id = f"injected-{number}"
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if not _is_progress(output)]
    records.write_text(executed, nbformat.writes(book) + "\n")


def _is_progress(output) -> bool:
    return output["output_type"] == "stream" or "application/vnd.jupyter.widget-view+json" in output.get(
        "data", {}
    )
