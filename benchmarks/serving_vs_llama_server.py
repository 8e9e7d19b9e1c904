"""`bise serve` beside llama.cpp's `llama-server`: `python benchmarks/serving_vs_llama_server.py [--json]`.

Both serve the random model of 1.1 billion parameters in 4 bits over HTTP with as many threads, and take turns: in every
round sixteen clients send the same new requests to one and then to the other, each client the next as soon as its last is
answered. Prompts have 32 to 1,000 tokens, answers 32 to 128, streamed, greedy; no two prompts begin alike, both are told
not to keep prompts, and every count of tokens is checked. `--llama-server` or `LLAMA_SERVER` names llama.cpp's program
(`cmake -DCMAKE_BUILD_TYPE=Release -DGGML_NATIVE=ON`, target llama-server), `BISE_PEERS_PYTHON` a Python with
llama-cpp-python and gguf, which writes its model.

    throughput_ratio   tokens written a second, ours over theirs, medians of the rounds
    ttft_p95_ratio     95th percentile of the time from sending a request to its first token, ours over theirs
    stall_p99_ms       99th percentile of the gaps between tokens of seven streams of ours, from the moment a prompt of
                       6,000 tokens arrives until its first token
"""

import argparse
import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that it runs by its path, too

from benchmarks.alternating import SETTLE_S, load_average, load_before, machine_facts, spread
from benchmarks.first_run import wait_for
from benchmarks.random_model import ONE_BILLION, SMALL, make_gguf, make_model
from bise.config import cache_home
from bise.hardware import usable_cores
from bise.messages import Conversation, Message
from bise.tokenizer.chat import ChatTokenizer

ROOT = Path(__file__).resolve().parents[1]
CLIENTS = 16
PROMPT_TOKENS, ANSWER_TOKENS = (32, 1000), (32, 128)
STREAMS, LONG_PROMPT, LONG_ANSWER = 7, 6000, 512  # of the stall
FLOWING = 8  # pieces
SLOT_TOKENS = 1280  # of each of llama-server's sequences


@dataclass(frozen=True)
class Request:
    """One question: its text for us, the same tokens for llama-server, and how many tokens to answer."""

    text: str
    prompt_ids: Sequence[int]
    num_answer: int


@dataclass
class Answer:
    """When a request was sent, when each piece of its answer came, and what the server counted."""

    sent: float
    times: list[float] = field(default_factory=list)
    num_prompt: int = 0
    num_written: int = 0
    flows: asyncio.Event = field(default_factory=asyncio.Event)  # set when several pieces have come


@dataclass(frozen=True)
class Server:
    """A running server and how it is asked."""

    name: str
    port: int
    path: str
    headers: str

    def body(self, request: Request) -> dict[str, Any]:
        """The request as this server wants it."""
        if self.name == "Bise":
            return {
                "model": "int4",
                "messages": [{"role": "user", "content": request.text}],
                "max_tokens": request.num_answer,
                "temperature": 0,
                "stream": True,
                "stream_options": {"include_usage": True},
            }
        return {
            "prompt": list(request.prompt_ids),
            "n_predict": request.num_answer,
            "temperature": 0,
            "ignore_eos": True,
            "cache_prompt": False,
            "stream": True,
        }


def main() -> None:
    """Start both, take turns, print."""
    options = parse_options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers end, too
    spec, files = (SMALL, options.files / "small") if options.small else (ONE_BILLION, options.files / "1.1b")
    model, gguf = make_model(files, spec), make_gguf(files, spec, options.peers_python)
    tokenizer = ChatTokenizer.load(model)
    rounds = [make_requests(tokenizer, options.requests, words=number) for number in range(options.rounds + 1)]
    report: dict[str, Any] = {"load_before": load_before()}
    with tempfile.TemporaryDirectory() as home, contextlib.ExitStack() as running:
        ours = running.enter_context(serve_bise(model, Path(home)))
        theirs = running.enter_context(serve_llama(options.llama_server, gguf, Path(home)))
        report |= asyncio.run(compare((ours, theirs), rounds))
        long_ones = make_requests(tokenizer, STREAMS, (100, 100), (LONG_ANSWER, LONG_ANSWER), seed=2)
        (intruder,) = make_requests(tokenizer, 1, (LONG_PROMPT, LONG_PROMPT), (8, 8), seed=3)
        report |= asyncio.run(stall(ours, long_ones, intruder))
    report |= {"load_after": load_average(), "machine": machine_facts()}
    print(json.dumps(report, indent=2) if options.json else "\n".join(f"{k:20} {v}" for k, v in report.items()))


def parse_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--requests", type=int, default=32, help="in each round, for all clients together")
    parser.add_argument("--small", action="store_true", help="a small model, to try the benchmark itself")
    parser.add_argument("--files", type=Path, default=cache_home() / "benchmarks", help="where the models are kept")
    parser.add_argument("--peers-python", default=os.environ.get("BISE_PEERS_PYTHON"))
    parser.add_argument("--llama-server", default=os.environ.get("LLAMA_SERVER"))
    options = parser.parse_args()
    if options.peers_python is None or options.llama_server is None:
        parser.error("Set BISE_PEERS_PYTHON and LLAMA_SERVER; --help says to what.")
    return options


def make_requests(
    tokenizer: ChatTokenizer,
    count: int,
    prompt: tuple[int, int] = PROMPT_TOKENS,
    answer: tuple[int, int] = ANSWER_TOKENS,
    seed: int = 1,
    words: int = 0,
) -> list[Request]:
    """Questions of random words; lengths of prompts are spread evenly by their logarithm, so most are short.

    The seed decides the lengths, with `words` the words: other words of the same lengths are the same work, of which
    nothing can be kept.
    """
    random, letters = np.random.default_rng(seed), np.random.default_rng([seed, words])
    requests = []
    for _ in range(count):
        num_prompt = int(np.exp(random.uniform(*np.log(prompt))))
        spelt = letters.integers(ord("a"), ord("z") + 1, (max(1, (num_prompt - 4) // 2), 3)).astype(np.uint8)
        text = " ".join(word.tobytes().decode() for word in spelt)
        rendered = tokenizer.render(Conversation((Message("user", text),)), for_completion=True)
        requests.append(Request(text, rendered.ids, int(random.integers(answer[0], answer[1] + 1))))
    return requests


async def compare(servers: Sequence[Server], rounds: Sequence[Sequence[Request]]) -> dict[str, Any]:
    """The same requests for one server and then the other, new ones in every round; the first warms both up."""
    rates: dict[str, list[float]] = {server.name: [] for server in servers}
    waits: dict[str, list[float]] = {server.name: [] for server in servers}
    for server in servers:
        await answer_all(server, rounds[0][:2])
    for requests in rounds[1:]:
        for server in servers:
            await asyncio.sleep(SETTLE_S)
            began = time.perf_counter()
            answers = await answer_all(server, requests)
            elapsed = time.perf_counter() - began
            rates[server.name].append(sum(answer.num_written for answer in answers) / elapsed)
            waits[server.name] += [answer.times[0] - answer.sent for answer in answers]
            print(f"{server.name}: {rates[server.name][-1]:.1f} tokens/s", file=sys.stderr, flush=True)
    ours, theirs = (server.name for server in servers)
    p95 = {name: float(np.quantile(values, 0.95)) for name, values in waits.items()}
    return {
        "throughput_ratio": round(statistics.median(rates[ours]) / statistics.median(rates[theirs]), 3),
        "ttft_p95_ratio": round(p95[ours] / p95[theirs], 3),
        "tokens_per_s": {name: spread(values) for name, values in rates.items()},
        "ttft_s": {name: spread(values) | {"p95": round(p95[name], 3)} for name, values in waits.items()},
        "requests": len(requests),
        "prompt_tokens": sum(len(request.prompt_ids) for request in requests),
        "answer_tokens": sum(request.num_answer for request in requests),
    }


async def answer_all(server: Server, requests: Sequence[Request]) -> list[Answer]:
    """Sixteen clients work through the requests; every answer is as long as it was asked to be."""
    waiting = iter(requests)
    answers: list[Answer] = []

    async def client() -> None:
        answers.extend([await ask(server, request) for request in waiting])

    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    return answers


async def stall(server: Server, requests: Sequence[Request], intruder: Request) -> dict[str, Any]:
    """Gaps between tokens of streams while a very long prompt is computed beside them."""
    answers = [Answer(time.perf_counter()) for _ in requests]
    streams = [
        asyncio.create_task(ask(server, request, answer)) for request, answer in zip(requests, answers, strict=True)
    ]
    await asyncio.gather(*(answer.flows.wait() for answer in answers))
    long_one = await ask(server, intruder)
    gaps = []
    for answer in answers:
        times = [t for t in answer.times if long_one.sent <= t <= long_one.times[0]]
        before = max(t for t in answer.times if t < long_one.sent)
        gaps += np.diff([before, *times]).tolist()
    still_running = sum(not stream.done() for stream in streams)
    for stream in streams:
        stream.cancel()
    await asyncio.gather(*streams, return_exceptions=True)
    return {
        "stall_p99_ms": round(1000 * float(np.quantile(gaps, 0.99)), 1),
        "stall_ms": spread([1000 * gap for gap in gaps], 1) | {"max": round(1000 * max(gaps), 1)},
        "long_prompt": {
            "tokens": len(intruder.prompt_ids),
            "ttft_s": round(long_one.times[0] - long_one.sent, 2),
            "streams_still_running": still_running,
        },
    }


async def ask(server: Server, request: Request, answer: Answer | None = None) -> Answer:
    """Send one request and note when each piece of its answer comes."""
    answer = answer or Answer(time.perf_counter())
    body = json.dumps(server.body(request)).encode()
    answer.sent = time.perf_counter()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1 << 20)
    try:
        writer.write(
            f"POST {server.path} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n{server.headers}Connection: close\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        last = b""
        while line := await reader.readline():
            if re.search(rb'"content":\s*"[^"]', line):
                answer.times.append(time.perf_counter())
                if len(answer.times) == FLOWING:
                    answer.flows.set()
            if line.startswith((b"data: {", b"HTTP/", b"{")):
                last = line
    finally:
        writer.close()
    _count(answer, request, last)
    return answer


def _count(answer: Answer, request: Request, last: bytes) -> None:
    """Read the server's own counts from its last words, and require that it did exactly what was asked."""
    found = {
        key.decode(): int(value)
        for key, value in re.findall(
            rb'"(prompt_tokens|completion_tokens|tokens_evaluated|tokens_predicted)":(\d+)', last
        )
    }
    answer.num_prompt = found.get("prompt_tokens", found.get("tokens_evaluated", -1))
    answer.num_written = found.get("completion_tokens", found.get("tokens_predicted", -1))
    if (answer.num_prompt, answer.num_written) != (len(request.prompt_ids), request.num_answer) or not answer.times:
        asked = f"{len(request.prompt_ids)} tokens of prompt and {request.num_answer} of answer"
        raise SystemExit(f"Asked for {asked}; the server's last words: {last.decode(errors='replace')[:500]}")


@contextlib.contextmanager
def serve_bise(model: Path, home: Path) -> Iterator[Server]:
    """Run `bise serve` with this model, in a home of its own."""
    variables = os.environ | {"BISE_HOME": str(home), "PYTHONPATH": str(ROOT / "src")}
    key = subprocess.check_output([sys.executable, "-m", "bise", "admin", "keys"], env=variables, text=True).split()[-1]
    port = free_port()
    command = [sys.executable, "-m", "bise", "serve", "--port", str(port), "--model", str(model)]
    with process(command, variables, home / "bise.log", port):
        yield Server("Bise", port, "/v1/chat/completions", f"Authorization: Bearer {key}\r\n")


@contextlib.contextmanager
def serve_llama(program: str, gguf: Path, home: Path) -> Iterator[Server]:
    """Run `llama-server` with continuous batching and a slot for each client."""
    port, threads = free_port(), str(usable_cores())
    command = [program, "--model", str(gguf), "--port", str(port), "--threads", threads, "--threads-batch", threads]
    command += ["--parallel", str(CLIENTS), "--ctx-size", str(CLIENTS * SLOT_TOKENS)]
    command += ["--cont-batching", "--cache-ram", "0", "--no-ui", "--log-disable", *LLAMA_SETTINGS]
    with process(command, dict(os.environ), home / "llama.log", port):
        yield Server("llama-server", port, "/completion", "")


# The fastest of those tried on the processor of the published figures.
LLAMA_SETTINGS = ("--flash-attn", "on", "--ubatch-size", "512", "--no-kv-unified")


@contextlib.contextmanager
def process(command: Sequence[str], variables: dict[str, str], log: Path, port: int) -> Iterator[None]:
    """A server that is healthy when the block begins, and gone when it ends."""
    with log.open("w", encoding="utf-8") as output:
        running = subprocess.Popen(command, env=variables, stdout=output, stderr=output)
        try:
            wait_for(f"http://127.0.0.1:{port}/health", time.monotonic())
            yield
        finally:
            running.terminate()
            running.wait(timeout=60)


def free_port() -> int:
    """A port of the loopback interface that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()
