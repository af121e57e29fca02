"""Text in, text out: what a backend is, and which one a model needs.

A backend offers

- `spec`: the Model of the parameter set,
- `fingerprint`: a string of everything its answers depend on beside the request,
- `parameters`: the number of its weights outside the embedding tables, None if nobody can tell,
- `tokenizer`: None if prompts cannot be seen token by token,
- `render(context, stem, mitigation)`: the prompt as it is sent, a string,
- `question(text)`: a free question as it is sent, where the model chats and is not canned,
- `opens_thought(rendered)`: whether a prompt ends within a thought that it has opened, as the templates of some models do,
- `reply(requests, temperature, max_new_tokens, seed, progress)`: one Reply for each row of `requests` (rendered, prompt_id,
  mitigation, mitigation_text, context, stem, group_id, sample_index); it calls progress(count) as replies are finished. The
  reply to a free question, whose row has neither context nor stem (None), is not cut after its first sentence.

Making one reads no weights; they load at the first reply.
"""

from dataclasses import dataclass

from lib.specs import Model

INSTRUCTION = "Complete the sentence:"  # Gonen et al. (2025) ask chat models so


@dataclass(frozen=True)
class Reply:
    """What a model wrote after one prompt, in how many tokens, and whether it stopped or its first sentence ended.

    `outcome`, with the reason in `note`, is given where the backend knows that there is no answer: `filtered`,
    `thought_unfinished`, `failed` (see lib.outcomes); what the text itself shows is told from the text.
    """

    text: str
    tokens: int
    ended: bool
    outcome: str | None = None
    note: str = ""


class Backend:
    """What a backend is unless it says otherwise: its prompts cannot be seen token by token, and open no thought."""

    tokenizer = None

    def opens_thought(self, rendered: str) -> bool:
        """Whether a prompt ends within a thought that it has opened, so that the reply goes on with it."""
        return False


def silent(count: int) -> None:
    """Progress that nobody wants to see."""


def load(spec: Model):
    """The backend for `spec`; ParameterError if the model cannot be found."""
    if spec.server:
        from lib.server import Server

        return Server(spec)
    if spec.table:
        from lib.imported import Imported

        return Imported(spec)
    if spec.id.startswith("canned:"):
        from lib.canned import Canned

        return Canned(spec)
    from lib.transformer import Transformer

    return Transformer(spec)
