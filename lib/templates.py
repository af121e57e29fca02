"""The template doctor: how prompts are rendered, token by token, and what is wrong with that, found before any weights load.

A missing or doubled start token, or a system text that a chat template adds by itself, changes what a model answers.
"""

import re

import pandas as pd

from lib.imported import Imported
from lib.specs import ParameterError

_ROLES = {"system", "user", "assistant", "human", "instruction", "inst"}


def first_of_each(owed: pd.DataFrame, model) -> pd.DataFrame:
    """The first group as rendered: arm, mitigation, rendered, and tokens (divided by |), one row each."""
    group = owed[owed["group_id"] == owed["group_id"].iloc[0]].drop_duplicates(["arm", "mitigation"])
    shown = group[["arm", "mitigation", "rendered"]].reset_index(drop=True)
    if model.tokenizer is None:
        return shown
    pieces = [model.tokenizer.batch_decode([[token] for token in ids]) for ids in model.token_ids(shown["rendered"].tolist())]
    return shown.assign(tokens=["|".join(piece).replace("\n", "⏎") for piece in pieces])


def check(owed: pd.DataFrame, model, max_new_tokens: int) -> None:
    """Raise ParameterError, naming model, fault and remedy, if the prompts are not what the model was trained to read.

    Completions made elsewhere are held against what is owed.
    """
    if isinstance(model, Imported):
        model.check(owed)
    if model.tokenizer is None:
        return
    fault = _fault(owed, model, max_new_tokens)
    if fault:
        raise ParameterError(f"model {model.spec.name}: {fault}")


def _fault(owed: pd.DataFrame, model, max_new_tokens: int) -> str | None:
    spec, tokenizer = model.spec, model.tokenizer
    longest = model.token_ids([max(owed["rendered"], key=len)])[0]
    if spec.mode == "chat":
        if spec.tuning == "base":
            return "mode 'chat' with tuning 'base': a base model was not trained on a chat template; set mode to 'completion'"
        if not _opens_an_answer(tokenizer):
            return "its chat template opens no answer (add_generation_prompt changes nothing); set mode to 'completion'"
        added = added_system_text(tokenizer)
        if added and spec.system_prompt is None and not spec.template_system:
            return (
                f"its chat template adds a system text by itself ({added!r}); say template_system: true, or give a system_prompt"
            )
    start = tokenizer.bos_token_id
    if start is not None and longest[:2] == [start, start]:
        return f"the start token {tokenizer.bos_token!r} is doubled; mend the chat template"
    if _puts_start(tokenizer) and longest[0] != start:
        return f"the start token {tokenizer.bos_token!r} is missing from the chat template; mend the template"
    room = getattr(model.config, "max_position_embeddings", None)
    if room and len(longest) + max_new_tokens > room:
        return (
            f"the longest prompt, {len(longest)} tokens, and max_new_tokens {max_new_tokens} exceed the {room} that it can read; "
            "shorten the mitigation or lower max_new_tokens"
        )
    return None


def added_system_text(tokenizer) -> str:
    """What a chat template says before the first message of the user, without special tokens and role names; mostly empty."""
    mark = "0123456789"
    rendered = tokenizer.apply_chat_template([{"role": "user", "content": mark}], tokenize=False, add_generation_prompt=True)
    before = tokenizer(rendered.split(mark)[0], add_special_tokens=False).input_ids
    lines = tokenizer.decode(before, skip_special_tokens=True).splitlines()
    said = " ".join(line.strip() for line in lines if re.sub(r"\W", "", line).casefold() not in {"", *_ROLES})
    return said if len(said.split()) > 2 else ""


def _opens_an_answer(tokenizer) -> bool:
    message = [{"role": "user", "content": "x"}]
    with_, without = (tokenizer.apply_chat_template(message, tokenize=False, add_generation_prompt=way) for way in (True, False))
    return with_ != without or with_.rstrip().endswith("[/INST]")  # Mistral's template ends the user's turn so


def _puts_start(tokenizer) -> bool:
    return tokenizer.bos_token_id is not None and tokenizer("x").input_ids[0] == tokenizer.bos_token_id
