"""A stand-in for a server: it speaks OpenAI's protocol with mock text and misbehaves on demand."""

import json
import time
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread

import pandas as pd
import pytest

from lib.config import params, sections, specs
from lib.models import registry
from lib.replies.reply import Reply

KEY = "sk-nobody-may-read-this"
CHAT = "/v1/chat/completions"


class StandIn:
    """`troubles` are what happens to the next requests, one each; `seen` are path, key and body of all that
    was asked."""

    def __init__(self):
        self.troubles, self.seen, self.text = [], [], " the one by the door. And"
        self.listed, self.known, self.keys, self.usage = (
            ["stand-in-7b", "stand-in-70b"],
            ["stand-in-7b"],
            None,
            True,
        )
        self.delay, self.in_flight, self.most_in_flight, self.lock = 0.0, 0, 0, Lock()
        self.http, self.port, self.dies_after = None, 0, None

    def start(self) -> None:
        """Listen; again on the same port if it did before."""
        self.http = ThreadingHTTPServer(
            ("127.0.0.1", self.port), type("Handler", (Handler,), {"stand_in": self})
        )
        self.http.daemon_threads = True
        self.http.handle_error = lambda *_: None  # a client that hangs up is part of the play
        self.port = self.http.server_address[1]
        Thread(target=self.http.serve_forever, args=[0.02], daemon=True).start()

    def stop(self) -> None:
        """Stop listening; whoever asks now is refused."""
        if self.http:
            self.http.shutdown()
            self.http.server_close()
            self.http = None

    def bodies(self) -> list[dict]:
        """What was asked."""
        return [body for _, _, body in self.seen]

    def answer(self, path: str, body: dict) -> tuple[int, dict]:
        """Status and body: the mock text, marked with the seed."""
        if body["model"] not in self.known:
            return 404, {"error": {"message": f"The model `{body['model']}` does not exist"}}
        text = f"{self.text} {body.get('seed')}" if self.text is not None else None
        told = {"message": {"role": "assistant", "content": text}} if path == CHAT else {"text": text}
        answer = {"id": "1", "object": "x", "created": 1, "model": body["model"]}
        usage = (
            {"usage": {"prompt_tokens": 9, "completion_tokens": 7, "total_tokens": 16}} if self.usage else {}
        )
        return 200, answer | {"choices": [{"index": 0, "finish_reason": "length", **told}], **usage}


class Handler(BaseHTTPRequestHandler):
    """One request to the stand-in."""

    stand_in: StandIn

    def log_message(self, *arguments):
        pass

    def send(self, status: int, body: dict | bytes, **headers) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body if isinstance(body, bytes) else json.dumps(body).encode())

    def refused(self) -> bool:
        given = self.headers["Authorization"].removeprefix("Bearer ")
        if self.stand_in.keys is None or given in self.stand_in.keys:
            return False
        self.send(401, {"error": {"message": f"Incorrect API key provided: {given}"}})
        return True

    def do_GET(self):
        if self.stand_in.listed is None:
            self.send(404, {"detail": "Not Found"})
        elif not self.refused():
            self.send(
                200,
                {
                    "object": "list",
                    "data": [{"id": name, "object": "model"} for name in self.stand_in.listed],
                },
            )

    def do_POST(self):
        stand_in, body = self.stand_in, json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with stand_in.lock:
            stand_in.seen.append((self.path, self.headers["Authorization"], body))
            trouble = stand_in.troubles.pop(0) if stand_in.troubles else None
            stand_in.in_flight += 1
            stand_in.most_in_flight = max(stand_in.most_in_flight, stand_in.in_flight)
        try:
            if trouble:
                trouble(self)
            elif not self.refused():
                time.sleep(stand_in.delay)
                with stand_in.lock:
                    stand_in.in_flight -= 1
                self.send(*stand_in.answer(self.path, body))
                return
        except OSError:
            pass  # the client has hung up
        with stand_in.lock:
            stand_in.in_flight -= 1


def generation(stand_in: StandIn, mode="completion", **changes) -> sections.Generation:
    """The smoke set's generation parameters with the stand-in as model; changes of the server, or else of the
    model."""
    place = {
        "url": f"http://127.0.0.1:{stand_in.port}/v1",
        "timeout": 0.5,
        "retries": 4,
        "concurrency": 3,
        "api_key_env": "A_KEY",
        "extra_body": {},
        "parameter_names": {},
    }
    place |= {key: changes.pop(key) for key in list(changes) if key in place}
    model = {
        "name": "m",
        "id": "stand-in-7b",
        "family": "f",
        "tuning": "instruct",
        "mode": mode,
        "server": place,
    } | changes
    values = params.cell_values(params.load("smoke"), "smoke", "02_generation")
    small = {"samples": 2, "mitigations": {}, "mitigation_samples": 0, "batch_size": 10}
    return params.from_cell("02_generation", values | small | {"model": model})


def reply_to(stand_in: StandIn, status: int, body: dict | bytes, mode="chat", **changes) -> Reply:
    """What becomes of one prompt, "He is sad." before "His coat is", where the server answers so."""
    parameters = generation(stand_in, mode, retries=0, **changes)
    model = registry.load(parameters.model)
    row = {
        "context": "He is sad.",
        "stem": "His coat is",
        "mitigation_text": "",
        "group_id": "g",
        "sample_index": 0,
    }
    stand_in.troubles = [lambda handler: handler.send(status, body)]
    requested = pd.DataFrame([row | {"rendered": model.render(row["context"], row["stem"], "")}])
    return model.reply(requested, parameters.temperature, parameters.max_new_tokens, parameters.seed)[0]


def message_of(act) -> str:
    """The text of the ParameterError that `act` must raise: short, without the key, also in what a traceback
    would show."""
    with pytest.raises(specs.ParameterError) as caught:
        act()
    message = str(caught.value)
    assert len(message.splitlines()) <= 3
    assert KEY not in "".join(traceback.format_exception(caught.value))
    return message
