"""What a newcomer waits for and pays in disk: `python benchmarks/first_run.py [--json] [--runs 5]`.

A fresh virtual environment gets `pip install .`; then the installed command is started. Nothing is assumed to be there
but Python: the kernel cache and the home are empty at first. Medians of several starts, with their range and the load.

    install_mb        the environment with the package, its client and its model, without pip's own cache
    install_s         making it
    seconds_to_page   from `bise serve` to the page, first start: nothing compiled yet
    cold_ready_s      from `bise serve` until /health says ok, first start
    warm_ready_s      the same, every later start
    first_token_s     from sending a chat request to the first token, warm
"""

import argparse
import contextlib
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import venv
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
DEADLINE_S = 300.0


def main() -> None:
    """Install, start several times, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    load_before = round(os.getloadavg()[0], 2)  # of others; that at the end is mostly our own
    with tempfile.TemporaryDirectory() as directory:
        figures = measure(Path(directory), options.runs)
    figures |= {"load_before": load_before, "load_after": round(os.getloadavg()[0], 2)}
    if options.json:
        print(json.dumps(figures, indent=2))
        return
    for name, value in figures.items():
        print(f"{name:18} {value}")


def measure(directory: Path, runs: int) -> dict[str, object]:
    """Every figure; times as {median, min, max, n} where several were taken."""
    started = time.monotonic()
    environment = directory / "environment"
    venv.create(environment, with_pip=True)
    python = str(environment / "bin/python")
    install = [python, "-m", "pip", "install", "-q", "--no-cache-dir", "-c", str(ROOT / "constraints.txt"), str(ROOT)]
    subprocess.run(install, check=True, stdout=sys.stderr)
    figures: dict[str, object] = {"install_s": round(time.monotonic() - started, 1)}
    figures["install_mb"] = round(size_bytes(environment) / 1e6, 1)
    variables = os.environ | {"BISE_HOME": str(directory / "home"), "XDG_CACHE_HOME": str(directory / "cache")}
    with server(environment, variables) as (url, began):
        figures["seconds_to_page"] = round(wait_for(url + "/", began), 2)
        figures["cold_ready_s"] = round(wait_for(url + "/health", began), 2)
    key = subprocess.check_output([environment / "bin/bise", "admin", "keys"], env=variables, text=True).split()[-1]
    ready, first_token = [], []
    for _ in range(runs):
        with server(environment, variables) as (url, began):
            ready.append(wait_for(url + "/health", began))
            first_token += [seconds_to_first_token(url, key) for _ in range(3)][1:]
    return figures | {"warm_ready_s": spread(ready), "first_token_s": spread(first_token)}


def size_bytes(directory: Path) -> int:
    """What a directory occupies, links counted once."""
    return sum(p.lstat().st_size for p in directory.rglob("*") if not p.is_dir())


@contextlib.contextmanager
def server(environment: Path, variables: dict[str, str]) -> Iterator[tuple[str, float]]:
    """Run the installed `bise serve`; gives its address and when it was started."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    began = time.monotonic()
    command = [str(environment / "bin/bise"), "serve", "--port", str(port)]
    process = subprocess.Popen(command, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield f"http://127.0.0.1:{port}", began
    finally:
        process.terminate()
        process.wait(timeout=30)


def wait_for(url: str, began: float) -> float:
    """Seconds from `began` until an address answers 200."""
    while time.monotonic() - began < DEADLINE_S:
        with contextlib.suppress(urllib.error.URLError, ConnectionError):
            if urllib.request.urlopen(url, timeout=10).status == 200:
                return time.monotonic() - began
        time.sleep(0.01)
    raise SystemExit(f"{url} did not answer within {DEADLINE_S:.0f} s.")


def seconds_to_first_token(url: str, key: str) -> float:
    """Seconds from sending a streamed chat request to its first piece of text."""
    model = json.load(urllib.request.urlopen(request(url + "/v1/models", key)))["data"][0]["id"]
    body = {"model": model, "stream": True, "messages": [{"role": "user", "content": "Hello, who are you?"}]}
    began = time.monotonic()
    with urllib.request.urlopen(request(url + "/v1/chat/completions", key, body)) as stream:
        for line in stream:
            if re.search(rb'"content":"[^"]', line):
                return time.monotonic() - began
    raise SystemExit("The answer had no text.")


def request(url: str, key: str, body: object = None) -> urllib.request.Request:
    """A request with a key, and with a JSON body when there is one."""
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    return urllib.request.Request(url, json.dumps(body).encode() if body else None, headers)


def spread(values: list[float]) -> dict[str, float]:
    """Median and range."""
    return {
        "median": round(statistics.median(values), 3),
        "min": round(min(values), 3),
        "max": round(max(values), 3),
        "n": len(values),
    }


if __name__ == "__main__":
    main()
