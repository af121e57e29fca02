"""The lab as a notebook widget.

It passes what is typed and clicked to a `Session`, which works in a separate thread.
"""

import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from queue import SimpleQueue

import anywidget
import numpy as np
import traitlets

from lib.config.specs import ROOT
from lib.dataset import curated_prompts
from lib.lab.session import Session, explained

_FOLDER = ROOT / "lib" / "lab"


class Newest:
    """A thread that does only the newest of the jobs it receives.

    For a job that is no longer the newest, `is_stale()` returns True.
    """

    def __init__(self, work: Callable[[dict, Callable[[], bool]], object]):
        self._work = work
        self._jobs: SimpleQueue[dict] = SimpleQueue()
        self._newest: dict | None = None
        threading.Thread(target=self._loop, daemon=True, name="leak lab").start()

    def submit(self, job: dict) -> None:
        """Do `job` next, and drop all jobs before it."""
        self._newest = job
        self._jobs.put(job)

    def _loop(self) -> None:
        while True:
            job = self._jobs.get()
            if job is self._newest:
                self._work(job, partial(self._is_stale, job))

    def _is_stale(self, job: dict) -> bool:
        return job is not self._newest


class Lab(anywidget.AnyWidget):
    """The page of the lab.

    `state` belongs to the settings numbered `state["number"]`; `notice` answers a button.
    """

    _esm = _FOLDER / "lab.js"
    _css = _FOLDER / "lab.css"
    choices: traitlets.List[dict] = traitlets.List().tag(sync=True)
    domains: traitlets.List[str] = traitlets.List().tag(sync=True)
    settings = traitlets.Dict().tag(sync=True)
    state = traitlets.Dict({"number": 0, "status": "", "message": ""}).tag(sync=True)
    notice = traitlets.Dict(dict[str, object](message="")).tag(sync=True)

    def __init__(self, set_name: str, kept: Path | None = None):
        self._session, self._rng, self._count = Session(set_name, kept), np.random.default_rng(), 0
        models = [
            {"key": key, "group": model.group, "label": model.label}
            for key, model in self._session.models.items()
        ]
        domains = sorted(curated_prompts.read_stems()["domain"].unique())
        super().__init__(choices=models, domains=domains, settings=self._session.start())
        self._completions = Newest(self._complete)
        self._checks = Newest(lambda job, is_stale: self._answer(lambda: self._session.make_stem(job)))
        self.on_msg(self._receive)

    def _receive(self, widget, message: dict, buffers) -> None:
        self.send({"seen": message.get("id")})  # at once, so that the page knows that the kernel is alive
        values = message.get("values") or {}
        if message["do"] == "complete":
            self._session.forget()
            self.settings = values
            self._completions.submit({"number": message["id"], "values": values})
        elif message["do"] == "surprise":
            self._answer(lambda: {"settings": self._session.surprise(self._rng)})
        elif message["do"] == "keep":
            self._answer(lambda: {"message": self._session.keep()})
        elif message["do"] == "stem":
            self._checks.submit(values)

    def _complete(self, job: dict, is_stale: Callable[[], bool]) -> None:
        def publish(state: dict) -> None:
            self.state = {**state, "number": job["number"]}

        self._session.run(job["values"], publish, is_stale)

    def _answer(self, act: Callable[[], dict]) -> None:
        """Show what `act` returns, or its error, as a notice; its count makes every notice a new one."""
        try:
            notice = act()
        except Exception as error:  # shown on the page, because the traceback of a callback is not seen
            notice = {"error": explained(error)}
        self._count += 1
        self.notice = {**notice, "count": self._count}


def lab(set_name: str) -> Lab:
    """Return the lab with the models and the judge of a parameter set.

    Raises:
        ParameterError: If there is no such set.
    """
    return Lab(set_name)
