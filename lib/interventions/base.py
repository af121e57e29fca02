"""The interface of an intervention, and the backend that results from applying one to a model.

An intervention of your own is a subclass of `Intervention` that overrides what it changes:

    class Colder(Intervention):
        def logits(self, own, reference):
            return own / 0.5

    def colder(model, found):
        return Colder("colder-1")

and `{kind: own, function: "my_module:colder"}` in a parameter set. CONTRIBUTING.md has an example of each
kind.
"""

import json
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from lib.config.specs import ParameterError
from lib.models.base import UNDIVIDED, Backend, Division, no_progress
from lib.models.huggingface import HuggingFaceModel
from lib.replies.reply import Reply


class Intervention:
    """What is done to a model; this one does nothing.

    Attributes:
        identity: Everything that the effect depends on, apart from the model; two interventions with equal
            identity give equal completions.
        changes_logits: Whether `logits` is called.
    """

    changes_logits = False

    def __init__(self, identity: str):
        self.identity = identity

    def prompts(self, model: HuggingFaceModel, prompts: pd.DataFrame) -> pd.DataFrame:
        """Change the prompts: the columns context and stem of the table that is returned are asked."""
        return prompts

    def uncached(self, folder: Path) -> "Intervention":
        """The same intervention without what it keeps, to time it; files may go to `folder`."""
        return self

    def reference(self, context: str, stem: str) -> tuple[str, str] | None:
        """The context and stem of a second prompt whose logits `logits` gets; None for no second prompt."""
        return None

    def logits(self, own, reference):
        """Change the logits from which a token is drawn.

        Args:
            own: The logits of the prompts (rows, vocabulary).
            reference: Those of the second prompts with the same beginning of a reply, or None.
        """
        return own

    @contextmanager
    def applied(self, model: HuggingFaceModel):
        """Change the weights or the forward pass of `model.weights`, and change it back at the end."""
        yield


class Intervened(Backend):
    """A model under an intervention.

    Args:
        model: The model.
        intervention: What is done to it.
        name: The intervention's name in the parameter set, for messages.
    """

    is_local = True

    def __init__(self, model: HuggingFaceModel, intervention: Intervention, name: str):
        self.model, self.intervention, self.name = model, intervention, name
        self.spec, self.tokenizer, self.parameters = model.spec, model.tokenizer, model.parameters
        self.fingerprint = json.dumps([model.fingerprint, intervention.identity])

    def __getattr__(self, attribute: str):
        return getattr(self.model, attribute)  # whatever measures the throughput looks at

    def render(self, context: str, stem: str, mitigation: str) -> str:
        """Render the prompt as the model sees it."""
        return self.model.render(context, stem, mitigation)

    def opens_thought(self, rendered: str) -> bool:
        """Whether a prompt ends within a thought."""
        return self.model.opens_thought(rendered)

    def reply(
        self,
        requests: pd.DataFrame,
        temperature: float,
        max_new_tokens: int,
        seed: int,
        progress=no_progress,
        division: Division = UNDIVIDED,
        on_prompts=None,
    ) -> list[Reply]:
        """Answer each of the requests; arguments as of `HuggingFaceModel.reply`.

        Raises:
            ParameterError: If logits are not finite; the message names the intervention.
        """
        change = self.intervention.logits if self.intervention.changes_logits else None
        with self.applied():
            return self.model.reply(
                self._with_references(requests),
                temperature,
                max_new_tokens,
                seed,
                progress,
                division,
                on_prompts,
                change,
            )

    @contextmanager
    def applied(self):
        """The model with the intervention at work; what goes wrong with its logits names the intervention."""
        try:
            with self.intervention.applied(self.model):
                yield
        except ParameterError as error:
            raise ParameterError(
                f"interventions.{self.name}: {error}; or, as an intervention is at work, lower its strength"
            ) from None

    def _with_references(self, requests: pd.DataFrame) -> pd.DataFrame:
        pairs = [
            self.intervention.reference(context, stem)
            for context, stem in zip(requests["context"], requests["stem"], strict=True)
        ]
        if not any(pairs):
            return requests
        return requests.assign(
            reference=[
                row.rendered if pair is None else self.model.render(*pair, row.mitigation_text)
                for pair, row in zip(pairs, requests.itertuples(), strict=True)
            ]
        )
