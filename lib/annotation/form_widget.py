"""The annotation form as a notebook widget.

It shows one item, and passes each click or key to a `labelling.Session`.
"""

from pathlib import Path

import anywidget
import traitlets

from lib.annotation import labelling
from lib.config.specs import ROOT

_DATA = ROOT / "lib" / "data"


class Form(anywidget.AnyWidget):
    """The form: it asks for a name, then goes through the items.

    `state` is what the form shows, read back from the file of the annotator.
    """

    _esm = _DATA / "annotation_form.js"
    _css = _DATA / "annotation_form.css"
    guide = traitlets.Tuple(default_value=labelling.GUIDE).tag(sync=True)
    state = traitlets.Dict(dict[str, object](message="")).tag(sync=True)

    def __init__(self, place: Path):
        super().__init__()
        self._place, self._shown = place, 0
        self._session: labelling.Session | None = None
        self.on_msg(self._receive)

    def _receive(self, widget, message: dict, buffers) -> None:
        try:
            text = self._do(message)
        except (ValueError, OSError) as error:  # shown on the form: a callback's traceback is not seen
            text = f"Not saved: {error}"
        self._shown += 1  # makes every state new, so that the form is redrawn even if nothing changed
        self.state = {
            **(self._session.state() if self._session else {}),
            "message": text,
            "shown": self._shown,
        }

    def _do(self, message: dict) -> str:
        if message["do"] == "begin":
            self._session = labelling.Session(self._place, message["name"])
            return ""
        session = self._session
        assert session is not None
        if message["do"] == "answer":
            session.answer(message["field"], message["value"])
            return "Saved."
        if message["do"] == "undo":
            return "Taken back." if session.undo() else "There is nothing to take back."
        if message["do"] == "back":
            session.back()
            return ""
        if not session.next():
            return "Not complete: answer the questions that are open, or choose “cannot tell”."
        state = session.state()
        return (
            "All items are done. Thank you: you may close the page."
            if state["done"] == state["total"]
            else ""
        )


def form(set_name: str) -> Form:
    """Return the form for the items of a run.

    Raises:
        FileNotFoundError: If there are no items; the message says what to run first.
    """
    folder = labelling.folder(set_name)
    labelling.read_items(folder)
    return Form(folder)
