"""What the API costs on top of the engine, and beside LiteLLM's proxy: `python benchmarks/gateway.py [--json]`.

The two sides of each figure take turns on the same machine.

    throughput_share      tokens a second of 16 streams over HTTP, over those of the same requests to the engine's process
    added_first_token_ms  time from a request to its first token over HTTP, less that of the engine's process, medians
    litellm_rps_ratio     requests a second before the same other server (`fake_upstream.py`, which answers at once), ours
                          over those of LiteLLM's proxy, medians of the rounds
    litellm_p99_ratio     99th percentile of the time of a request, ours over theirs
    idle_streams_mb       memory that 1,000 streams take in our server when nothing comes

`--litellm` or `LITELLM` names the program (`python -m venv DIR`, `DIR/bin/pip install "litellm[proxy]"`, DIR/bin/litellm);
without it the two ratios are left out.
"""

import argparse
import asyncio
import contextlib
import json
import os
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that it runs by its path, too

from benchmarks.alternating import SETTLE_S, load_average, load_before, machine_facts, spread
from benchmarks.first_run import wait_for
from benchmarks.random_model import ONE_BILLION, SMALL, make_model
from benchmarks.serving_vs_llama_server import free_port
from bise.config import cache_home
from bise.engine.process import EngineProcess
from bise.engine.sampling import SamplingParams
from bise.messages import Conversation, Message
from bise.tokenizer.chat import ChatTokenizer
from bise.weights.store import DEFAULT_MODEL, shipped_directory

ROOT = Path(__file__).resolve().parents[1]
STREAMS, ANSWER_TOKENS, PROMPT_WORDS = 16, 96, 24
CLIENTS, REQUESTS_A_CLIENT = 16, 20
IDLE_STREAMS = 1000
FIRST_TOKENS = 40
LITELLM_KEY = "sk-benchmark"


@dataclass(frozen=True)
class Address:
    """Where a server listens, and its key."""

    port: int
    key: str

    def head(self, path: str, body: bytes, connection: str) -> bytes:
        """The head of a POST request."""
        return (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nAuthorization: Bearer {self.key}\r\n"
            f"Connection: {connection}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        ).encode()


def main() -> None:
    """Measure each figure in turn, print."""
    options = parse_options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers end, too
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 16_384), hard))  # inherited by the servers
    report: dict[str, Any] = {"load_before": load_before()}
    spec, files = (SMALL, options.files / "small") if options.small else (ONE_BILLION, options.files / "1.1b")
    report |= asyncio.run(beside_engine(make_model(files, spec), options.rounds))
    report |= asyncio.run(beside_litellm(options.litellm, options.rounds))
    report |= {"load_after": load_average(), "machine": machine_facts()}
    print(json.dumps(report, indent=2) if options.json else "\n".join(f"{k:20} {v}" for k, v in report.items()))


def parse_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--small", action="store_true", help="a small model, to try the benchmark itself")
    parser.add_argument("--files", type=Path, default=cache_home() / "benchmarks", help="where the models are kept")
    parser.add_argument("--litellm", default=os.environ.get("LITELLM"))
    return parser.parse_args()


async def beside_engine(model: Path, rounds: int) -> dict[str, Any]:
    """The engine's process asked directly and through the API, in turns."""
    rates: dict[str, list[float]] = {"engine": [], "api": []}
    with tempfile.TemporaryDirectory() as home, serve_bise(Path(home), model) as api:
        engine = await EngineProcess.start(model)
        tokenizer = ChatTokenizer.load(model)
        try:
            for number in range(rounds + 1):
                for side in rates:
                    texts = make_texts(number * 2 + (side == "api"))
                    await asyncio.sleep(SETTLE_S)
                    began = time.perf_counter()
                    if side == "engine":
                        work = [count_tokens(engine, tokenizer, text) for text in texts]
                    else:
                        work = [count_pieces(api, model.name, text) for text in texts]
                    counts = await asyncio.gather(*work)
                    if set(counts) != {ANSWER_TOKENS}:
                        raise SystemExit(f"{side} wrote {counts} tokens, not {ANSWER_TOKENS} each.")
                    if number:  # the first round warms both up
                        rates[side].append(sum(counts) / (time.perf_counter() - began))
        finally:
            await engine.close()
    share = statistics.median(rates["api"]) / statistics.median(rates["engine"])
    waits = await first_tokens(shipped_directory(DEFAULT_MODEL))
    added = statistics.median(waits["api"]) - statistics.median(waits["engine"])
    return {
        "throughput_share": round(share, 3),
        "added_first_token_ms": round(added, 2),
        "tokens_per_s": {side: spread(values) for side, values in rates.items()},
        "first_token_ms": {side: spread(values) for side, values in waits.items()},
    }


async def first_tokens(model: Path) -> dict[str, list[float]]:
    """Milliseconds to the first token, of the demonstration model: what is added does not depend on the model."""
    waits: dict[str, list[float]] = {"engine": [], "api": []}
    with tempfile.TemporaryDirectory() as home, serve_bise(Path(home), model) as api:
        engine, tokenizer = await EngineProcess.start(model), ChatTokenizer.load(model)
        try:
            for number in range(FIRST_TOKENS + 4):
                text = make_texts(number)[0]
                waits["engine"].append(await time_first_token(engine, tokenizer, text))
                waits["api"].append(await time_first_piece(api, model.name, text))
        finally:
            await engine.close()
    return {side: values[4:] for side, values in waits.items()}


def make_texts(seed: int) -> list[str]:
    """Questions of random words, other ones for every seed, so that nothing can be kept from the one before."""
    letters = np.random.default_rng(seed).integers(ord("a"), ord("z") + 1, (STREAMS, PROMPT_WORDS, 3)).astype(np.uint8)
    return [" ".join(word.tobytes().decode() for word in words) for words in letters]


def render(tokenizer: ChatTokenizer, text: str) -> list[int]:
    """What the server makes of a question."""
    return tokenizer.render(Conversation((Message("user", text),)), for_completion=True).ids


async def count_tokens(engine: EngineProcess, tokenizer: ChatTokenizer, text: str) -> int:
    """Ask the engine, and count."""
    params = SamplingParams(temperature=0, max_tokens=ANSWER_TOKENS, stop_ids=tokenizer.stop_ids)
    outputs = engine.generate(render(tokenizer, text), params)
    return sum([len(output.token_ids) async for output in outputs])


async def time_first_token(engine: EngineProcess, tokenizer: ChatTokenizer, text: str) -> float:
    """Milliseconds from the question, which has to be rendered, to the first token."""
    began = time.perf_counter()
    params = SamplingParams(temperature=0, max_tokens=2, stop_ids=tokenizer.stop_ids)
    waits = [time.perf_counter() - began async for _ in engine.generate(render(tokenizer, text), params)]
    return 1000 * waits[0]


def chat_body(model: str, text: str, max_tokens: int, *, stream: bool) -> bytes:
    """A question as both servers take it."""
    body = {"model": model, "messages": [{"role": "user", "content": text}], "max_tokens": max_tokens, "stream": stream}
    return json.dumps(body | {"temperature": 0}).encode()


async def count_pieces(api: Address, model: str, text: str) -> int:
    """Ask over HTTP, streamed; returns the tokens that the server counted."""
    body = chat_body(model, text, ANSWER_TOKENS, stream=True)
    reader, writer = await asyncio.open_connection("127.0.0.1", api.port, limit=1 << 20)
    writer.write(api.head("/v1/chat/completions", body, "close") + body)
    count = 0
    while line := await reader.readline():
        if b'"completion_tokens":' in line:
            count = int(line.split(b'"completion_tokens":')[1].split(b",")[0])
    writer.close()
    return count


async def time_first_piece(api: Address, model: str, text: str) -> float:
    """Milliseconds from the question, connection included, to the first piece of text."""
    began = time.perf_counter()
    body = chat_body(model, text, 2, stream=True)
    reader, writer = await asyncio.open_connection("127.0.0.1", api.port, limit=1 << 20)
    writer.write(api.head("/v1/chat/completions", body, "close") + body)
    while line := await reader.readline():
        if b'"content":"' in line and b'"content":""' not in line:
            elapsed = 1000 * (time.perf_counter() - began)
            await reader.read()
            writer.close()
            return elapsed
    raise SystemExit("The server wrote nothing.")


async def beside_litellm(litellm: str | None, rounds: int) -> dict[str, Any]:
    """Requests through both before the same other server, in turns; then streams that wait."""
    port = free_port()
    with tempfile.TemporaryDirectory() as directory, contextlib.ExitStack() as running:
        home = Path(directory)
        upstream = [sys.executable, str(ROOT / "benchmarks/fake_upstream.py"), str(port)]
        running.enter_context(process(upstream, {}, home / "upstream.log"))
        wait_for(f"http://127.0.0.1:{port}/", time.monotonic())
        ours = running.enter_context(serve_bise(home, None, port))
        sides = {"bise": ours}
        if litellm is not None:
            sides["litellm"] = running.enter_context(serve_litellm(litellm, home, port))
        rates: dict[str, list[float]] = {side: [] for side in sides}
        waits: dict[str, list[float]] = {side: [] for side in sides}
        for number in range(rounds + 1):
            for side, address in sides.items():
                await asyncio.sleep(SETTLE_S)
                rate, times = await load(address)
                if number:
                    rates[side].append(rate)
                    waits[side] += times
        report = figures(rates, waits)
        return report | await idle_streams(ours, home)


def figures(rates: dict[str, list[float]], waits: dict[str, list[float]]) -> dict[str, Any]:
    """Ratios where there are two sides, and what they are made of."""
    p99 = {side: float(np.quantile(times, 0.99)) for side, times in waits.items()}
    report: dict[str, Any] = {
        "requests_per_s": {side: spread(values, 1) for side, values in rates.items()},
        "request_ms": {side: spread(times) | {"p99": round(p99[side], 2)} for side, times in waits.items()},
    }
    if "litellm" in rates:
        ratio = statistics.median(rates["bise"]) / statistics.median(rates["litellm"])
        report |= {"litellm_rps_ratio": round(ratio, 2), "litellm_p99_ratio": round(p99["bise"] / p99["litellm"], 3)}
    return report


async def load(address: Address) -> tuple[float, list[float]]:
    """Sixteen clients, each with a connection that it keeps; returns requests a second and milliseconds of each."""
    body = chat_body("fake", "Hello", 16, stream=False)
    request = address.head("/v1/chat/completions", body, "keep-alive") + body
    times: list[float] = []

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", address.port, limit=1 << 20)
        for _ in range(REQUESTS_A_CLIENT):
            began = time.perf_counter()
            writer.write(request)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
            answer = await reader.readexactly(length)
            times.append(1000 * (time.perf_counter() - began))
            if not head.startswith(b"http/1.1 200") or b"word7" not in answer:
                raise SystemExit(f"Not an answer: {answer[:500]!r}")
        writer.close()

    began = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    return len(times) / (time.perf_counter() - began), times


async def idle_streams(address: Address, home: Path) -> dict[str, Any]:
    """What streams that have begun, and wait, take in our server's memory."""
    server = int((home / "bise.pid").read_text(encoding="utf-8"))
    body = chat_body("idle", "Hello", 16, stream=True)
    before, writers = resident_mb(server), []
    for _ in range(IDLE_STREAMS):
        reader, writer = await asyncio.open_connection("127.0.0.1", address.port)
        writer.write(address.head("/v1/chat/completions", body, "close") + body)
        await reader.readuntil(b"word0")
        writers.append(writer)
    after = resident_mb(server)
    for writer in writers:
        writer.close()
    return {"idle_streams_mb": round(after - before, 1), "server_mb": {"before": before, "with_streams": after}}


def resident_mb(process_id: int) -> float:
    """Memory of a process, without its children."""
    pages = int(Path(f"/proc/{process_id}/statm").read_text(encoding="utf-8").split()[1])
    return round(pages * resource.getpagesize() / 2**20, 1)


@contextlib.contextmanager
def serve_bise(home: Path, model: Path | None, upstream_port: int | None = None) -> Iterator[Address]:
    """Run `bise serve` in a home of its own, with the demonstration model where none is named."""
    variables = {"BISE_HOME": str(home), "PYTHONPATH": str(ROOT / "src")}
    bise = [sys.executable, "-m", "bise"]
    key = subprocess.check_output([*bise, "admin", "keys"], env=os.environ | variables, text=True).split()[-1]
    port = free_port()
    command = [*bise, "serve", "--port", str(port), *(["--model", str(model)] if model else [])]
    if upstream_port is not None:
        file = home / "upstreams.toml"
        file.write_text(
            f'[[upstreams]]\nname = "fake"\nurl = "http://127.0.0.1:{upstream_port}/v1"\n', encoding="utf-8"
        )
        command += ["--upstreams", str(file)]
    with process(command, variables, home / "bise.log") as process_id:
        (home / "bise.pid").write_text(str(process_id), encoding="utf-8")
        wait_for(f"http://127.0.0.1:{port}/health", time.monotonic())
        yield Address(port, key)


@contextlib.contextmanager
def serve_litellm(program: str, home: Path, upstream_port: int) -> Iterator[Address]:
    """Run LiteLLM's proxy with one model behind it, quiet, with a key, and without a database as ours without limits."""
    port, file = free_port(), home / "litellm.json"
    url = f"http://127.0.0.1:{upstream_port}/v1"
    models = [{"model_name": "fake", "litellm_params": {"model": "openai/fake", "api_base": url, "api_key": "x"}}]
    settings = {"master_key": LITELLM_KEY, "disable_spend_logs": True}
    quiet = {"telemetry": False, "set_verbose": False, "request_timeout": 60}
    file.write_text(
        json.dumps({"model_list": models, "general_settings": settings, "litellm_settings": quiet}), encoding="utf-8"
    )
    variables = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR", "LITELLM_MODE": "PRODUCTION"}
    command = [program, "--config", str(file), "--port", str(port), "--host", "127.0.0.1"]
    with process(command, variables, home / "litellm.log"):
        wait_for(f"http://127.0.0.1:{port}/health/liveliness", time.monotonic())
        yield Address(port, LITELLM_KEY)


@contextlib.contextmanager
def process(command: Sequence[str], variables: dict[str, str], log: Path) -> Iterator[int]:
    """A server that is gone when the block ends."""
    with log.open("w", encoding="utf-8") as output:
        running = subprocess.Popen(command, env=os.environ | variables, stdout=output, stderr=output)
        try:
            yield running.pid
        finally:
            running.terminate()
            running.wait(timeout=60)


if __name__ == "__main__":
    main()
