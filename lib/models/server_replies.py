"""Conversion of a choice in a server's answer to a Reply: the text, or why there is nothing to judge.

Some servers separate thoughts. They put them into `reasoning_content` (DeepSeek, SGLang, llama.cpp, older
vLLM), `reasoning` (vLLM, OpenRouter, Ollama), `thinking`, `reasoning_details`, or a part of the content with
such a type (Mistral). A thought within the text itself is left there.
"""

from lib.config.specs import Model
from lib.models.server_errors import clean
from lib.replies import outcomes
from lib.replies.reply import Reply

_STOPPED = (
    "stop",
    "eos",
    "eos_token",
    "end_turn",
    "stop_sequence",
    "complete",
    "tool_calls",
    "function_call",
)
_AT_LIMIT = ("length", "max_tokens", "max_output_tokens", "model_length")
_FILTERED = (
    "content_filter",
    "content_filtered",
    "safety",
    "sensitive",
    "prohibited_content",
    "blocklist",
    "recitation",
    "spii",
    "moderation",
    "guardrail_intervened",
)
_BROKEN_OFF = ("error", "abort", "aborted", "network_error", "insufficient_system_resource", "cancelled")
_THOUGHTS = ("reasoning_content", "reasoning", "thinking", "reasoning_details")
_THOUGHT_PARTS = ("thinking", "reasoning", "reasoning_content")
_MOST = 300  # characters of a server's message in a note


def broken_off(choice: dict) -> dict | None:
    """The body of an error if the server stopped in the middle of this answer; a retry may complete it."""
    if error := choice.get("error"):
        return {"error": error}
    finish = _finish(choice)
    return {"error": {"message": f"it broke off, finish_reason {finish}"}} if finish in _BROKEN_OFF else None


def reply(choice: dict, usage: dict, row, spec: Model) -> Reply:
    """Convert a choice to a Reply.

    Args:
        choice: The choice, as the server sent it.
        usage: The usage, as the server sent it.
        row: The request, with context, stem and mitigation_text.
        spec: The model.
    """
    message = choice["message"] if isinstance(choice.get("message"), dict) else {}
    content = choice.get("text") if spec.mode == "completion" else message.get("content")
    text, finish = clean(_written(content)), _finish(choice)
    tokens = usage.get("completion_tokens")
    tokens = tokens if isinstance(tokens, int) else len(text.split())
    outcome, note = _without_answer(choice, message, text, spec, apart=_thought(message, content, usage))
    prompt = (row.context, row.stem, row.mitigation_text)
    ended = finish in _STOPPED or outcomes.is_complete(text, *prompt, tuple(spec.thought_markers))
    return Reply(text, tokens, ended, outcome, clean(note)[:_MOST])


def unfinished(spec: Model) -> str:
    """What to do about a thought that used every token."""
    current = f" ({spec.thinking_tokens} now)" if spec.thinking_tokens else ""
    return (
        f"the thought took every token: raise the model's thinking_tokens{current}, or switch thinking off, "
        "as with "
        "chat_template_kwargs: {enable_thinking: false}"
    )


def _without_answer(
    choice: dict, message: dict, text: str, spec: Model, apart: str
) -> tuple[str | None, str]:
    """Outcome and note of a choice without an answer; (None, "") if `text` is the answer.

    `apart` is the thought that the server separated.
    """
    finish, refusal = _finish(choice), _refusal(message)
    if finish.partition(":")[0].strip() in _FILTERED:  # Gemini says "content_filter: SAFETY"
        return (
            outcomes.FILTERED,
            f"finish_reason {finish}{_categories(choice)}{f': {refusal}' if refusal else ''}",
        )
    if refusal or finish == "refusal":
        return outcomes.REFUSED, refusal or text or "finish_reason refusal"
    limited, answered = finish in _AT_LIMIT, bool(text.strip())
    if apart and not answered:
        suffix = "" if limited else " (it ended without an answer)"
        return outcomes.THOUGHT_UNFINISHED, unfinished(spec) + suffix
    if limited and not apart and spec.thinking_tokens and spec.thought_markers[1] not in text:
        return outcomes.THOUGHT_UNFINISHED, unfinished(spec)
    if not answered and (tool_call := message.get("tool_calls") or message.get("function_call")):
        return outcomes.FAILED, f"the model called a tool in place of an answer: {tool_call}"
    return None, ""


def _finish(choice: dict) -> str:
    return str(choice.get("finish_reason") or "").lower()


def _written(content) -> str:
    """The text of a content: the content itself, or its parts that are text."""
    if isinstance(content, list):
        parts = [
            part
            for part in content
            if isinstance(part, dict) and part.get("type") in ("text", "output_text", None)
        ]
        return "".join(part["text"] for part in parts if isinstance(part.get("text"), str))
    return content if isinstance(content, str) else ""


def _refusal(message: dict) -> str:
    """The model's refusal, where the server separates it."""
    content = message["content"] if isinstance(message.get("content"), list) else []
    refusals = [part.get("refusal") for part in (message, *content) if isinstance(part, dict)]
    return " ".join(text.strip() for text in refusals if isinstance(text, str) and text.strip())


def _thought(message: dict, content, usage: dict) -> str:
    """The thought that the server separated, or only counted in the usage; empty if there is none."""
    parts = [part for part in content if isinstance(part, dict)] if isinstance(content, list) else []
    candidates = [message.get(name) for name in _THOUGHTS] + [
        part for part in parts if part.get("type") in _THOUGHT_PARTS
    ]
    if text := next((str(thought) for thought in candidates if thought and str(thought).strip()), ""):
        return text
    details = usage.get("completion_tokens_details")
    counted = details.get("reasoning_tokens") if isinstance(details, dict) else None
    return f"{counted} tokens" if counted else ""


def _categories(choice: dict) -> str:
    """What the filter found, if the server reports it, such as " (violence)"."""
    results = choice.get("content_filter_results") or choice.get("content_filter_result")
    results = results if isinstance(results, dict) else {}
    stopped = ("filtered", "detected")
    categories = [
        name
        for name, result in results.items()
        if isinstance(result, dict) and any(result.get(key) for key in stopped)
    ]
    return f" ({', '.join(categories)})" if categories else ""
