"""The command line as a person meets it: `bise` in a process of its own, and a server on a port of its own."""

import contextlib
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
DEADLINE_S = 120


@dataclass(frozen=True)
class Server:
    """A running `bise serve`."""

    url: str  # http://127.0.0.1:PORT
    entrance: str  # the one-time address that it printed


def bise(*arguments: str | Path, stdin: str = "", cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run one command to its end, whatever its exit code."""
    command = [sys.executable, "-m", "bise", *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "COLUMNS": "120"}
    return subprocess.run(
        command, check=False, cwd=cwd, input=stdin, capture_output=True, text=True, env=environment, timeout=DEADLINE_S
    )


def succeed(*arguments: str | Path, cwd: Path = ROOT) -> str:
    """Run one command that must succeed; its stdout."""
    done = bise(*arguments, cwd=cwd)
    assert done.returncode == 0, f"bise {' '.join(map(str, arguments))}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def free_port() -> int:
    """A port of the loopback interface that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def serve(*arguments: str | Path, log: Path) -> Iterator[Server]:
    """Run `bise serve` until the block ends; it is healthy when the block begins."""
    url = f"http://127.0.0.1:{(port := free_port())}"
    command = [sys.executable, "-m", "bise", "serve", "--port", str(port), *map(str, arguments)]
    environment = {key: value for key, value in os.environ.items() if key not in ("DISPLAY", "WAYLAND_DISPLAY")}
    with log.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, env=environment | {"PYTHONPATH": str(ROOT / "src")}
        )
        try:
            _wait_until_healthy(process, url, log)
            entrance = re.search(r"http://\S+/enter\?token=\S+", log.read_text(encoding="utf-8"))
            assert entrance, log.read_text(encoding="utf-8")
            yield Server(url, entrance.group())
        finally:
            process.terminate()
            process.wait(timeout=30)


def _wait_until_healthy(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text(encoding="utf-8")
        with contextlib.suppress(OSError):  # not listening yet, or too busy to answer in time
            if urllib.request.urlopen(f"{url}/health", timeout=5).status == 200:
                return
        time.sleep(0.05)
    raise AssertionError(f"{url}/health did not answer: {log.read_text(encoding='utf-8')}")


def client_key() -> str:
    """A new key for API clients, from the command that makes one."""
    return succeed("admin", "keys").split()[-1]
