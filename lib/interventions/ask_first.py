"""Asking twice: the model's first reply becomes part of the prompt that it then continues.

With an instruction to repeat a text without what is irrelevant this is System 2 Attention (Weston &
Sukhbaatar 2023, arXiv 2311.11829); with a question about the text it is thinking before continuing.
"""

from pathlib import Path

import pandas as pd

from lib.config.interventions import REPLY, AskFirst
from lib.config.mitigation_texts import CONTEXT, STEM
from lib.config.sections import Generation
from lib.config.specs import ParameterError
from lib.generation import runner
from lib.interventions.base import Intervention
from lib.models.huggingface import HuggingFaceModel


class AskedFirst(Intervention):
    """Asks each prompt's question first; replies are kept in a journal.

    Args:
        spec: The questions.
        parameters: The generation section of the parameter set, for the seed; the first reply is drawn at
            temperature 0.
        journal: The journal of the first replies.

    Raises:
        ParameterError: If the model is not asked in chat mode.
    """

    def __init__(self, spec: AskFirst, parameters: Generation, journal: Path):
        super().__init__(f"ask-first-1 {spec.model_dump_json()}")
        if parameters.model.mode != "chat":
            raise ParameterError(
                f"interventions of the kind ask_first need chat mode, and {parameters.model.name} is in "
                f"{parameters.model.mode} mode: list the other interventions in its `intervene`"
            )
        self._spec, self._journal = spec, journal
        self._parameters = parameters.model_copy(
            update={"temperature": 0.0, "max_new_tokens": spec.reply_tokens}
        )

    def uncached(self, folder: Path) -> "AskedFirst":
        """The same questions, asked anew."""
        return AskedFirst(self._spec, self._parameters, folder / self._journal.name)

    def prompts(self, model: HuggingFaceModel, prompts: pd.DataFrame) -> pd.DataFrame:
        """Ask the first question of each prompt.

        Returns:
            The prompts with the new context, and the column first_reply ("" where there was none).
        """
        distinct = prompts[["context", "stem"]].drop_duplicates().reset_index(drop=True)
        questions = [
            self._spec.instruction.replace(CONTEXT, row.context).replace(STEM, row.stem)
            for row in distinct.itertuples()
        ]
        requested = pd.DataFrame(
            {
                "rendered": [model.question(question) for question in questions],
                **dict.fromkeys(["context", "stem"]),
                **dict.fromkeys(["mitigation", "mitigation_text"], ""),
                "prompt_id": [f"first-{number}" for number in range(len(distinct))],
                "group_id": [f"first-{number}" for number in range(len(distinct))],
                "arm": "",
                "sample_index": 0,
            }
        )
        requested = runner.keyed(requested, self._parameters, model)
        replies = runner.generate(requested, self._parameters, model, self._journal)["completion"]
        distinct["first_reply"] = [
            without_stem(reply, stem) for reply, stem in zip(replies, distinct["stem"], strict=True)
        ]
        changed = prompts.merge(distinct, on=["context", "stem"], how="left", validate="many_to_one")
        contexts = [
            " ".join(self._spec.then.replace(CONTEXT, row.context).replace(REPLY, row.first_reply).split())
            for row in changed.itertuples()
        ]
        return changed.assign(context=contexts)


def without_stem(reply: str | None, stem: str) -> str:
    """What a reply says before it comes to the stem, in one line; "" for no reply."""
    text = " ".join((reply or "").split())
    return text[: text.rfind(stem)].strip() if stem in text else text
