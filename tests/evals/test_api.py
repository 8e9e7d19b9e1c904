"""The client of an evaluation asks as little as it can, and gets what it would get by asking for all."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx

from bise.evals.api import Api
from bise.evals.target import Target

TEXTS = ["", "The wind.", "Où naît le vent ?", "a</s>b [INST] c", "łódź 🪿\n\n\tx", "  two spaces  "]


@contextmanager
def knowing_no_extension(target: Target) -> Iterator[tuple[Target, list[str]]]:
    """The target behind a server that ignores `echo_from`, as vLLM does; and the paths that were asked for."""
    paths: list[str] = []

    class Relay(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            paths.append(self.path)
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            body.pop("echo_from", None)
            answer = httpx.post(target.root + self.path, json=body, headers=target.headers, timeout=60, trust_env=False)
            self.send_response(answer.status_code)
            self.send_header("content-length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Nobody reads it."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Relay) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield replace(target, url=f"http://127.0.0.1:{server.server_port}/v1", vocabulary=None), paths
        server.shutdown()


def test_ids_of_a_local_model_are_those_that_its_server_tells(target: Target) -> None:
    here, there = Api(target), Api(replace(target, vocabulary=None))
    assert here.tokenize(TEXTS) == there.tokenize(TEXTS)
    assert here.special_beginning() == there.special_beginning()
    assert here.beginning() == there.beginning()
    assert here.used().num_requests == 0 < there.used().num_requests


def test_likelihoods_are_the_same_alone_in_company_and_cut_from_a_whole_echo(target: Target) -> None:
    api = Api(target)
    begin, ids = (
        api.beginning(),
        api.tokenize(["The wind comes over the lake in the morning, and the boats lie still. " * 4])[0],
    )
    contexts = [begin, begin + ids[:1], begin + ids[:40], begin + ids[:41], begin + ids]
    pairs = [(context, ids[start : start + 3]) for start in range(0, 20, 2) for context in contexts]
    found = api.likelihoods(pairs)
    assert all(each.num_tokens == 3 and each.nats < 0 for each in found)
    assert len({each.nats for each in found}) == len(pairs)
    assert found == [api.likelihoods([pair])[0] for pair in pairs]
    with knowing_no_extension(target) as (relayed, paths):
        assert Api(relayed).likelihoods(pairs) == found
        assert set(paths) == {"/v1/completions"}
