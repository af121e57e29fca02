"""Models that a server runs and answers for in OpenAI's protocol: vLLM, llama.cpp, Ollama, a hosted API."""

import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor

import openai
import pandas as pd

from lib import sentences, specs
from lib.models import INSTRUCTION, Backend, Reply, silent
from lib.specs import Model, ParameterError

_NO_KEY = "no-key-needed"  # the client insists on a key; a server that needs none does not look at it
_KEY_REFUSED = (openai.AuthenticationError, openai.PermissionDeniedError)
_MAY_PASS = (openai.RateLimitError, openai.InternalServerError)
_FAILURES = (openai.OpenAIError, json.JSONDecodeError)


class Server(Backend):
    """A model behind a server. Making one asks whether the server is there and answers for the model; ParameterError if not.

    Every request carries a seed of its own. How far the server honours it is the server's affair, and so is what it adds to
    plain sampling (top_k, min_p, penalties) unless `server.options` say otherwise: completions may depend on how it batches, and
    a second run may differ.
    """

    def __init__(self, spec: Model):
        self.spec = spec
        self.parameters = spec.parameters
        asked = {"url": spec.server.url.rstrip("/"), "id": spec.id, "mode": spec.mode, "options": spec.server.options}
        self.fingerprint = json.dumps(asked, sort_keys=True)
        self._check()

    def render(self, context: str, stem: str, mitigation: str) -> str:
        """The prompt as it is sent: plain text, or the JSON of the messages, which the server puts into the model's template."""
        text = f"{context} {stem}".strip()
        if self.spec.mode == "completion":
            return f"{mitigation} {text}".strip()
        return self.question(f"{mitigation} {INSTRUCTION} {text}".strip())

    def question(self, text: str) -> str:
        """A message of the user as it is sent: the JSON of the messages."""
        messages = [{"role": "user", "content": text}]
        if self.spec.system_prompt is not None:
            messages.insert(0, {"role": "system", "content": self.spec.system_prompt})
        return json.dumps(messages, ensure_ascii=False)

    def reply(self, requests: pd.DataFrame, temperature: float, max_new_tokens: int, seed: int, progress=silent) -> list[Reply]:
        """One Reply for each row of `requests`, at most `server.concurrency` of them asked at a time; ParameterError if one of
        them cannot be had, however often it is asked."""
        pool = ThreadPoolExecutor(self.spec.server.concurrency)
        with self._client() as client:  # closed after an error or an interrupt, it asks nothing more
            try:
                answers = pool.map(lambda row: self._reply(client, row, temperature, max_new_tokens, seed), requests.itertuples())
                replies = []
                for answer in answers:
                    replies.append(answer)
                    progress(1)
                return replies
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def _client(self) -> openai.OpenAI:
        # It waits before a retry as long as the server says (Retry-After), else 0.5, 1, 2, 4 and then always 8 seconds, each less
        # up to a quarter: 12 retries of a refused connection last 50 to 70 seconds.
        server = self.spec.server
        return openai.OpenAI(base_url=server.url, api_key=self._key(), timeout=server.timeout, max_retries=server.retries)

    def _reply(self, client: openai.OpenAI, row, temperature: float, max_new_tokens: int, seed: int) -> Reply:
        own_seed = request_seed(seed, row.group_id, row.sample_index)
        try:
            choice, usage = self._ask(client, row.rendered, temperature=temperature, max_tokens=max_new_tokens, seed=own_seed)
        except _FAILURES as error:
            raise self._explained(error) from None
        text = (choice.message.content if self.spec.mode == "chat" else choice.text) or ""
        tokens = getattr(usage, "completion_tokens", None)
        ended = choice.finish_reason == "stop" or sentences.is_complete(text, row.context, row.stem)
        return Reply(text, len(text.split()) if tokens is None else tokens, ended)

    def _ask(self, client: openai.OpenAI, rendered: str, **options):
        """The first choice of the answer, and its usage."""
        options |= {"model": self.spec.id, "n": 1, "top_p": 1.0}  # 1: a server's default may be lower
        options["extra_body"] = self.spec.server.options
        if self.spec.mode == "chat":
            answer = client.chat.completions.create(messages=json.loads(rendered), **options)
        else:
            answer = client.completions.create(prompt=rendered, **options)
        if not getattr(answer, "choices", None):
            raise openai.OpenAIError(f"an answer without a completion: {answer}")
        return answer.choices[0], answer.usage

    def _check(self) -> None:
        """Ask for one token of a model that the server does not list: some list none, or go by other names as well."""
        with self._client() as client:
            listed = self._listed(client)
            if self.spec.id not in listed:
                try:
                    self._ask(client, self.render("", "The", ""), temperature=1.0, max_tokens=1, seed=0)
                except _FAILURES as error:
                    raise self._explained(error, listed) from None

    def _listed(self, client: openai.OpenAI) -> list[str]:
        """The ids that the server lists, none if it keeps no list; ParameterError if it cannot be reached."""
        server = self.spec.server
        hasty = client.with_options(timeout=min(server.timeout, 10.0), max_retries=min(server.retries, 2))
        try:
            return [model.id for model in hasty.models.list().data]
        except openai.APIConnectionError as error:
            raise self._explained(error) from None
        except (*_FAILURES, AttributeError, TypeError):  # AttributeError, TypeError: it answers with something else
            return []

    def _key(self) -> str:
        name = self.spec.server.key_variable
        key = os.environ.get(name, "").strip() if name else ""
        if not (key.isascii() and key.isprintable()):
            raise ParameterError(f"model {self.spec.name}: the key in ${name} has characters that no key has; set it again")
        return key or _NO_KEY

    def _explained(self, error: Exception, listed: list[str] | tuple = ()) -> ParameterError:
        server, key = self.spec.server, self._key()
        if isinstance(error, _KEY_REFUSED):
            what = "wants a key"
            remedy = "name the environment variable that holds it in key_variable"
            if server.key_variable:
                what = (
                    f"refused the key in ${server.key_variable}"
                    if key != _NO_KEY
                    else f"{what}, and ${server.key_variable} is not set"
                )
                remedy = "set that environment variable to a key which it accepts"
        elif isinstance(error, openai.APITimeoutError):
            what = "does not answer in time"
            remedy = f"raise timeout ({server.timeout:g} s) or lower concurrency ({server.concurrency})"
        elif isinstance(error, openai.APIConnectionError):
            what, remedy = "cannot be reached", "start it, or correct its url"
        elif isinstance(error, _MAY_PASS):
            what = "cannot answer now"
            remedy = f"wait, or lower concurrency ({server.concurrency})"
        else:
            what = f"refused a request for {self.spec.id!r}"
            known = f"; it lists {', '.join(listed[:5])}{', …' * (len(listed) > 5)}" if listed else ""
            remedy = f"check id, mode and url (most end in /v1){known}{specs.nearest(self.spec.id, listed)}"
        reason = _reason(error).replace(key, "[key]")[:300]
        return ParameterError(
            f"model {self.spec.name}: server {server.url} {what} ({reason})\n{remedy}; then run again: what is finished is kept"
        )


def request_seed(seed: int, group_id: str, sample_index: int) -> int:
    """The seed sent with a request, 31 bits, a hash of these three and nothing else: the arms of a group share it."""
    digest = hashlib.sha256(f"{seed}\x1f{group_id}\x1f{sample_index}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def _reason(error: Exception) -> str:
    """On one line, what the server said, or why nothing could be heard from it."""
    said = getattr(error, "body", None) or error.__cause__ or error
    if isinstance(said, dict):
        said = said.get("message") or said.get("detail") or said
    status = f"{error.status_code}: " if isinstance(error, openai.APIStatusError) else ""
    return status + " ".join(str(said).split())
