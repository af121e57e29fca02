"""Models behind a server with OpenAI's protocol: vLLM, llama.cpp, Ollama, a hosted API."""

import hashlib
import ipaddress
import json
import os
import ssl
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import openai
import pandas as pd

from lib.config import mitigation_texts, specs
from lib.config.specs import Model, ParameterError
from lib.models import chat_templates, server_errors, server_replies
from lib.models.base import INSTRUCTION, Backend, no_progress
from lib.replies import outcomes
from lib.replies.reply import Reply

_NO_KEY = "no-key-needed"  # the client requires a key; a server that needs none ignores it
_KEY_REFUSED = (openai.AuthenticationError, openai.PermissionDeniedError)
_MAY_PASS = (openai.RateLimitError, openai.InternalServerError)
_FAILURES = (openai.OpenAIError, json.JSONDecodeError)
_SAMPLING = {"temperature": 1.0, "max_tokens": 1, "seed": 0}


class Server(Backend):
    """A model behind a server.

    Creating an instance checks that the server is reachable and serves the model.

    Every request carries a seed of its own. Whether the server honours it is up to the server. So is what it
    adds to plain sampling (top_k, min_p, penalties), unless `server.extra_body` sets it. Completions may
    therefore depend on how the server batches, and a second run may differ.

    `server.parameter_names` omits what the server does not accept. Without `seed`, no draw can be repeated
    and the arms share no seed. Without `temperature` or `top_p`, the server's own value applies instead of
    that of the parameter set; without `max_tokens`, its own limit applies. A prompt that a content filter
    stops gets a Reply with the outcome `filtered`, and the other prompts continue.

    Raises:
        ParameterError: If the server cannot be reached or does not serve the model.
    """

    def __init__(self, spec: Model, check: bool = True):
        assert spec.server is not None
        self.spec, self.server = spec, spec.server
        self.parameters = spec.parameters
        self.fingerprint = _fingerprint(spec, self.server)
        if spec.mode == "completion" and spec.chat_template_kwargs:
            raise ParameterError(
                f"model {spec.name}: mode 'completion' uses no template for chat_template_kwargs "
                f"{spec.chat_template_kwargs}; take them out, or set mode to 'chat'"
            )
        if check:
            self._check()

    def listed(self) -> list[str]:
        """The ids that the server lists; empty if it has no list.

        Raises:
            ParameterError: If the server cannot be reached.
        """
        with self._client() as client:
            return self._listed(client)

    def render(self, context: str, stem: str, mitigation: str) -> str:
        """Render the prompt as it is sent: plain text, or messages as JSON.

        The server puts the messages into the model's template.
        """
        placed = mitigation_texts.placed(mitigation, context, stem)
        if self.spec.mode == "completion":
            return placed.plain
        return self._as_json(f"{placed.before} {INSTRUCTION} {placed.prompt}".strip(), placed.system)

    def question(self, text: str) -> str:
        """Render a message of the user as it is sent: the messages as JSON."""
        return self._as_json(text)

    def _as_json(self, text: str, system: str = "") -> str:
        return json.dumps(chat_templates.messages(self.spec, text, system), ensure_ascii=False)

    def reply(
        self, requests: pd.DataFrame, temperature: float, max_new_tokens: int, seed: int, progress=no_progress
    ) -> list[Reply]:
        """One Reply for each row of `requests`, with at most `server.concurrency` requests in flight.

        Raises:
            ParameterError: If one of them fails after all retries.
        """
        pool = ThreadPoolExecutor(self.server.concurrency)
        with self._client() as client:  # closed after an error or an interrupt, it sends no further request
            try:
                answers = pool.map(
                    lambda row: self._reply(client, row, temperature, max_new_tokens, seed),
                    requests.itertuples(),
                )
                replies = []
                for answer in answers:
                    replies.append(answer)
                    progress(1)
                return replies
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def _client(self) -> openai.OpenAI:
        # Before a retry it waits as long as the server says (Retry-After), otherwise 0.5, 1, 2, 4 and then
        # always 8 seconds, each reduced by up to a quarter: 12 retries of a refused connection take 50 to 70
        # seconds.
        server = self.server
        key, http_client = self._key(), None
        if is_here(server.url):  # a proxy set in the environment would look for it on another machine
            http_client = openai.DefaultHttpxClient(trust_env=False, verify=ssl.create_default_context())
        try:
            return openai.OpenAI(
                base_url=server.url,
                api_key=key,
                timeout=server.timeout,
                max_retries=server.retries,
                http_client=http_client,
            )
        except (ImportError, ValueError) as error:  # from httpx: a kind of proxy that it does not support
            proxies = [
                name for name in os.environ if name.lower() in ("http_proxy", "https_proxy", "all_proxy")
            ]
            if not proxies:
                raise
            raise ParameterError(
                f"model {self.spec.name}: the proxy in ${' or $'.join(proxies)} cannot be used ({error})\n"
                "give one of http, or name the server's host in $NO_PROXY"
            ) from None

    def _reply(self, client: openai.OpenAI, row, temperature: float, max_new_tokens: int, seed: int) -> Reply:
        own_seed, limit = (
            request_seed(seed, row.group_id, row.sample_index),
            max_new_tokens + self.spec.thinking_tokens,
        )
        try:
            choice, usage = self._ask(
                client, row.rendered, temperature=temperature, max_tokens=limit, seed=own_seed
            )
        except _FAILURES as error:
            return self._without_answer(error)
        return server_replies.reply(choice, usage, row, self.spec)

    def _without_answer(
        self, error: Exception, listed: list[str] | tuple = (), checking: bool = False
    ) -> Reply:
        """The Reply to a prompt without an answer; ParameterError for any other error.

        A prompt has no answer if a filter stopped it, a thought used all tokens, or the server returned no
        choice. The last one is an error while `checking`, because a server that never returns a choice is of
        no use.
        """
        if server_errors.is_filter(error):
            return Reply("", 0, False, outcomes.FILTERED, self._said(error))
        if server_errors.is_out_of_tokens(error):
            return Reply("", 0, False, outcomes.THOUGHT_UNFINISHED, server_replies.unfinished(self.spec))
        if server_errors.is_without_choices(error) and not checking:
            return Reply("", 0, False, outcomes.FAILED, f"an answer without choices: {self._said(error)}")
        raise self._explained(error, listed) from None

    def _ask(self, client: openai.OpenAI, rendered: str, **sampling) -> tuple[dict, dict]:
        """The first choice of the answer and its usage, as the server sent them."""
        parameters = self._parameters(sampling)
        if self.spec.mode == "chat":
            response = client.chat.completions.with_raw_response.create(
                messages=json.loads(rendered), model=self.spec.id, extra_body=parameters
            ).http_response
        else:
            response = client.completions.with_raw_response.create(
                prompt=rendered, model=self.spec.id, extra_body=parameters
            ).http_response
        body = server_errors.parsed(response.content)
        choices = body.get("choices") if isinstance(body, dict) else None
        if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
            raise server_errors.NoCompletion(body)
        if error := server_replies.broken_off(choices[0]):
            raise server_errors.NoCompletion(error)
        return choices[0], body["usage"] if isinstance(body.get("usage"), dict) else {}

    def _parameters(self, sampling: dict) -> dict:
        """What is sent with the prompt, under the server's names, without what it does not accept."""
        names = self.server.parameter_names
        parameters = sampling | {"n": 1, "top_p": 1.0}  # 1: a server's default may be lower
        renamed = {
            names.get(name, name): value
            for name, value in parameters.items()
            if names.get(name, name) is not None
        }
        template_options = (
            {"chat_template_kwargs": self.spec.chat_template_kwargs} if self.spec.chat_template_kwargs else {}
        )
        return renamed | template_options | self.server.extra_body

    def _check(self) -> None:
        """Request one token from a model that the server does not list.

        Some servers list no models, or accept other names too.
        """
        with self._client() as client:
            listed = self._listed(client)
            if self.spec.id not in listed:
                try:
                    self._ask(client, self.render("", "The", ""), **_SAMPLING)
                except _FAILURES as error:
                    self._without_answer(error, listed, checking=True)

    def _listed(self, client: openai.OpenAI) -> list[str]:
        server = self.server
        quick_client = client.with_options(
            timeout=min(server.timeout, 10.0), max_retries=min(server.retries, 2)
        )
        try:
            return [model.id for model in quick_client.models.list().data]
        except openai.APIConnectionError as error:
            raise self._explained(error) from None
        # AttributeError, TypeError: the answer is not a list of models
        except (*_FAILURES, AttributeError, TypeError):
            return []

    def _key(self) -> str:
        name = self.server.api_key_env
        key = os.environ.get(name, "").strip() if name else ""
        if not (key.isascii() and key.isprintable()):
            raise ParameterError(
                f"model {self.spec.name}: the key in ${name} has characters that no key has; set it again"
            )
        return key or _NO_KEY

    def _explained(self, error: Exception, listed: list[str] | tuple = ()) -> ParameterError:
        server, key = self.server, self._key()
        if isinstance(error, _KEY_REFUSED):
            what = "wants a key"
            remedy = "name the environment variable that holds it in api_key_env"
            if server.api_key_env:
                what = (
                    f"refused the key in ${server.api_key_env}"
                    if key != _NO_KEY
                    else f"{what}, and ${server.api_key_env} is not set"
                )
                remedy = "set that environment variable to a key which it accepts"
        elif isinstance(error, openai.APITimeoutError):
            what = "does not answer in time"
            remedy = f"raise timeout ({server.timeout:g} s) or lower concurrency ({server.concurrency})"
        elif isinstance(error, openai.APIConnectionError):
            what, remedy = "cannot be reached", "start it, or correct its url"
        elif refused := server_errors.refused_parameters(error, list(self._parameters(_SAMPLING))):
            what, remedy = (
                f"does not take {' and '.join(refused)}",
                server_errors.remedy(refused, error, server),
            )
        elif server_errors.is_too_long(error):
            what, remedy = (
                "has no room for so many tokens",
                "lower max_new_tokens or thinking_tokens, or run it with more context",
            )
        elif isinstance(error, _MAY_PASS):
            what = "cannot answer now"
            remedy = f"wait, or lower concurrency ({server.concurrency})"
        else:
            what = f"refused a request for {self.spec.id!r}"
            listing = f"; it lists {', '.join(listed[:5])}{', …' * (len(listed) > 5)}" if listed else ""
            remedy = f"check id, mode and url (most end in /v1){listing}{specs.nearest(self.spec.id, listed)}"
        return ParameterError(
            f"model {self.spec.name}: server {server.url} {what} ({self._said(error)})\n"
            f"{remedy}; then run again: what is finished is kept"
        )

    def _said(self, error: Exception) -> str:
        """The server's message, without the key."""
        return server_errors.reason(error).replace(self._key(), "[key]")[:300]


def request_seed(seed: int, group_id: str, sample_index: int) -> int:
    """The seed sent with a request: 31 bits, a hash of the three arguments only.

    The arms of a group therefore share it.
    """
    digest = hashlib.sha256(f"{seed}\x1f{group_id}\x1f{sample_index}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def is_here(url: str) -> bool:
    """Whether `url` names the machine on which this process runs."""
    host = (urlsplit(url).hostname or "").rstrip(".")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
    address = getattr(address, "ipv4_mapped", None) or address
    return address.is_loopback or address.is_unspecified


def _fingerprint(spec: Model, server: specs.Server) -> str:
    """The server, the model, and what is sent apart from the request.

    Defaults are omitted, so that existing keys stay valid.
    """
    depends_on = {
        "url": server.url.rstrip("/"),
        "id": spec.id,
        "mode": spec.mode,
        "options": server.extra_body,
    }
    if dropped := sorted(
        name for name, server_name in server.parameter_names.items() if server_name is None and name != "n"
    ):
        depends_on["left_out"] = dropped  # n is 1 anyway
    for name in ("chat_template_kwargs", "thinking_tokens", "thought_markers"):
        if getattr(spec, name) != type(spec).model_fields[name].default:
            depends_on[name] = getattr(spec, name)
    return json.dumps(depends_on, sort_keys=True)
