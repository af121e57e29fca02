"""What a parameter set says of interventions: ways to keep a model from leaking that are more than a prompt.

Each has a name and a kind; the kind decides which fields it has. `lib.interventions` does what they say.
"""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from lib.config.mitigation_texts import CONTEXT, STEM, find_places
from lib.config.specs import Count, Strict

REPLY = "{reply}"
Strength = Annotated[float, Field(gt=0, le=100)]


class AskFirst(Strict):
    """The model is asked twice: its first reply becomes part of the prompt that it continues.

    Attributes:
        instruction: The first question, with `{context}` and `{stem}`.
        then: The context of the second prompt, with `{reply}` and perhaps `{context}`; the stem follows it.
        reply_tokens: Most tokens of the first reply.
    """

    kind: Literal["ask_first"]
    instruction: str
    then: str
    reply_tokens: Count = 48

    @field_validator("instruction")
    @classmethod
    def _shows_the_prompt(cls, value: str) -> str:
        places = find_places(value)
        if set(places) != {CONTEXT, STEM} or len(places) != 2:
            raise ValueError(f"{value!r} needs {CONTEXT} and {STEM}, each once, and no other place")
        return value

    @field_validator("then")
    @classmethod
    def _takes_the_reply(cls, value: str) -> str:
        places = find_places(value)
        if places.count(REPLY) != 1 or not set(places) <= {REPLY, CONTEXT}:
            raise ValueError(f"{value!r} needs {REPLY} once, may have {CONTEXT}, and no other place")
        return value


class Contrast(Strict):
    """Decoding: logits are moved from those of the prompt towards those of the stem without its context.

    Attributes:
        strength: 0 draws from the prompt alone, 1 from the stem alone.
    """

    kind: Literal["contrast"]
    strength: Annotated[float, Field(gt=0, le=2)]


class Ablate(Strict):
    """Representation: the component of hidden states along the direction of sentiment is taken out.

    Attributes:
        layers: "best", the layer where it lowers the leak most on the half that it is found on, or "all".
        strength: 1 takes all of it out, more turns it round.
    """

    kind: Literal["ablate"]
    layers: Literal["best", "all"] = "best"
    strength: Strength = 1.0


class HeadsOff(Strict):
    """Representation: the attention heads that carry most of the sentiment are switched off.

    Attributes:
        count: Number of heads.
    """

    kind: Literal["heads_off"]
    count: Count = 8


class Consistency(Strict):
    """Training: an adapter that makes the model go on after a charged context as after a neutral one.

    Attributes: as of `lib.interventions.consistency.Recipe`.
    """

    kind: Literal["consistency"]
    steps: Count = 60
    rank: Count = 8
    rate: Annotated[float, Field(gt=0)] = 1e-3
    retain: Annotated[float, Field(ge=0)] = 1.0


class Adapter(Strict):
    """Training: an adapter folder of your own, as peft saves it.

    Attributes:
        path: Its folder, relative to the project's folder, or absolute.
    """

    kind: Literal["adapter"]
    path: str


class Own(Strict):
    """An intervention of your own: a function that returns a `lib.interventions.base.Intervention`.

    Attributes:
        function: Where it stands, as "package.module:function"; its code is run.
        options: Its arguments by name.
    """

    kind: Literal["own"]
    function: Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")]
    options: dict[str, int | float | str | bool] = Field({})


KINDS: dict[str, type[Strict]] = {
    "ask_first": AskFirst,
    "contrast": Contrast,
    "ablate": Ablate,
    "heads_off": HeadsOff,
    "consistency": Consistency,
    "adapter": Adapter,
    "own": Own,
}
Spec = Annotated[
    AskFirst | Contrast | Ablate | HeadsOff | Consistency | Adapter | Own, Field(discriminator="kind")
]
