"""Prompt checks: how prompts are rendered, token by token, and faults found before any weights load.

A missing or doubled start token, or a system text that a chat template adds by itself, changes the replies of
a model.
"""

import re

import pandas as pd

from lib.config.specs import ParameterError
from lib.models import chat_templates

_ROLES = {"system", "user", "assistant", "human", "instruction", "inst"}


def first_of_each(requested: pd.DataFrame, model) -> pd.DataFrame:
    """Return the first group as rendered, one row per arm and mitigation.

    Returns:
        arm, mitigation, rendered, and tokens (separated by |; absent for a model without a tokenizer).
    """
    group = requested[requested["group_id"] == requested["group_id"].iloc[0]].drop_duplicates(
        ["arm", "mitigation"]
    )
    table = group[["arm", "mitigation", "rendered"]].reset_index(drop=True)
    if model.tokenizer is None:
        return table
    pieces = [
        model.tokenizer.batch_decode([[token] for token in ids])
        for ids in model.token_ids(table["rendered"].tolist())
    ]
    return table.assign(tokens=["|".join(piece).replace("\n", "⏎") for piece in pieces])


def check(requested: pd.DataFrame, model, max_new_tokens: int) -> None:
    """Check that the prompts have the form that the model was trained on.

    Precomputed completions are compared with the requested ones.

    Args:
        requested: The table of `runner.requests`.
        model: The backend.
        max_new_tokens: Tokens reserved for a completion.

    Raises:
        ParameterError: If they do not; the message names model, fault and remedy.
    """
    _refuse_examples_of_the_benchmark(requested)
    model.check(requested)
    if model.tokenizer is None:
        return
    fault = _fault(requested, model, max_new_tokens)
    if fault:
        raise ParameterError(f"model {model.spec.name}: {fault}")


def _refuse_examples_of_the_benchmark(requested: pd.DataFrame) -> None:
    """Refuse a mitigation that shows the model a sentence of the benchmark, as an example would."""
    sentences = {*requested["stem"], *requested["context"]} - {""}
    for row in requested.drop_duplicates(["mitigation", "mitigation_text"]).itertuples():
        if shown := next((text for text in sorted(sentences) if text in row.mitigation_text), None):
            raise ParameterError(
                f"mitigations.{row.mitigation}: holds {shown!r}, a sentence of the benchmark; write examples "
                "of your own"
            )


def thought_note(model, max_new_tokens: int) -> str:
    """Describe how the chat template handles thoughts, as Markdown; empty where no thought is expected."""
    if model.tokenizer is None or model.spec.mode != "chat":
        return ""
    spec, switch = model.spec, chat_templates.switch(model.tokenizer)
    if model.opens_thought(model.question("x")):
        return (
            f"The chat template of {spec.name} opens a thought: {spec.thinking_tokens} tokens are set "
            "aside for it, "
            f"beside the {max_new_tokens} of the answer."
        )
    if switch and spec.chat_template_kwargs.get(switch, True):
        return (
            f"The chat template of {spec.name} knows `{switch}`, so the model may open a thought by itself: "
            f"{spec.thinking_tokens or 'no'} tokens are set aside for it, beside the {max_new_tokens} of "
            "the answer. "
            f"`chat_template_kwargs: {{{switch}: false}}` turns thoughts off."
        )
    return ""


def _fault(requested: pd.DataFrame, model, max_new_tokens: int) -> str | None:
    if model.spec.mode == "chat" and (
        fault := _template_fault(model) or thought_fault(requested["rendered"].unique(), model)
    ):
        return fault
    spec, tokenizer = model.spec, model.tokenizer
    longest = model.token_ids([max(requested["rendered"], key=len)])[0]
    start = tokenizer.bos_token_id
    if start is not None and longest[:2] == [start, start]:
        return f"the start token {tokenizer.bos_token!r} is doubled; mend the chat template"
    if _puts_start(tokenizer) and longest[0] != start:
        return f"the start token {tokenizer.bos_token!r} is missing from the chat template; mend the template"
    capacity, thought = _room(model.config), spec.thinking_tokens
    if capacity and len(longest) + max_new_tokens + thought > capacity:
        of_thought = f", thinking_tokens {thought}" if thought else ""
        return (
            f"the longest prompt, {len(longest)} tokens{of_thought} and max_new_tokens {max_new_tokens} "
            f"exceed the {capacity} that "
            "it can read; shorten the mitigation or lower "
            f"{'thinking_tokens' if thought > max_new_tokens else 'max_new_tokens'}"
        )
    return None


def _template_fault(model) -> str | None:
    spec, tokenizer = model.spec, model.tokenizer
    if spec.tuning == "base":
        return (
            "mode 'chat' with tuning 'base': a base model was not trained on a chat template; set mode "
            "to 'completion'"
        )
    if not _opens_an_answer(model):
        return (
            "its chat template opens no answer (add_generation_prompt changes nothing); set mode to "
            "'completion'"
        )
    if spec.system_prompt and "".join(spec.system_prompt.split()) not in "".join(model.question("x").split()):
        return (
            "its chat template leaves the system_prompt out; set system_prompt to null and put its text "
            "into a mitigation, "
            "which stands before the user's text"
        )
    added = added_system_text(tokenizer, spec)
    if added and spec.system_prompt is None and not spec.keep_template_system:
        return (
            f"its chat template adds a system text by itself ({added!r}); say keep_template_system: true, or "
            "give a system_prompt"
        )
    return None


def thought_fault(rendered, model) -> str | None:
    """Return what is wrong with a model whose `rendered` prompts open a thought.

    Returns:
        The fault and its remedy; None if no prompt opens a thought, or the model's settings allow for it.
    """
    spec = model.spec
    if not any(map(model.opens_thought, rendered)):
        return None
    opens = f"its chat template opens a thought ({spec.thought_markers[0]!r})"
    switch = chat_templates.switch(model.tokenizer)
    off = (
        f"chat_template_kwargs: {{{switch}: false}}"
        if switch and spec.chat_template_kwargs.get(switch, True)
        else ""
    )
    if spec.assistant_prefill:
        return (
            f"{opens}, and assistant_prefill would begin the answer within it; set assistant_prefill to "
            f"false{off and f', or {off}'}"
        )
    if spec.require_word:
        return (
            f"{opens}, which need not begin with a word of the answer; set require_word to "
            f"false{off and f', or {off}'}"
        )
    if not spec.thinking_tokens:
        return (
            f"{opens}, and no tokens are set aside for it; set thinking_tokens: 1024{off and f', or {off}'}"
        )
    return None


def _room(config) -> int | None:
    """Return how many tokens the model can read; None if its configuration does not state it."""
    text = config.get_text_config()
    return next(
        (
            getattr(text, name)
            for name in ("max_position_embeddings", "n_positions", "max_seq_len")
            if getattr(text, name, None)
        ),
        None,
    )


def added_system_text(tokenizer, spec) -> str:
    """Return the text that a chat template adds before the first user message; usually empty.

    Special tokens and role names are removed.
    """
    mark = "0123456789"
    rendered = chat_templates.apply(tokenizer, spec, [{"role": "user", "content": mark}])
    before = tokenizer(rendered.split(mark)[0], add_special_tokens=False).input_ids
    lines = tokenizer.decode(before, skip_special_tokens=True).splitlines()
    text = " ".join(line.strip() for line in lines if re.sub(r"\W", "", line).casefold() not in {"", *_ROLES})
    return text if len(text.split()) > 2 else ""


def _opens_an_answer(model) -> bool:
    message = [{"role": "user", "content": "x"}]
    with_, without = (
        chat_templates.apply(model.tokenizer, model.spec, message, opened) for opened in (True, False)
    )
    # Mistral's template ends the user's turn in this way
    return with_ != without or with_.rstrip().endswith("[/INST]")


def _puts_start(tokenizer) -> bool:
    return tokenizer.bos_token_id is not None and tokenizer("x").input_ids[0] == tokenizer.bos_token_id
