"""The server of a local model never outlives the command that started it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bise.config import apart_environment
from tests.command import DEADLINE_S, ROOT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc"),
]


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def descendants(process_id: int) -> list[int]:
    children = [int(word) for word in Path(f"/proc/{process_id}/task/{process_id}/children").read_text().split()]
    return [found for child in children for found in (child, *descendants(child))]


def is_running(process_id: int) -> bool:
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture
def places(tmp_path: Path) -> dict[str, str]:
    """An environment whose temporary files are below one directory of the test."""
    (tmp_path / "temporary").mkdir()
    (tmp_path / "en.jsonl").write_text('{"text": "' + "The wind comes over the lake. " * 40_000 + '"}')
    return apart_environment(tmp_path) | {"TMPDIR": str(tmp_path / "temporary"), "PYTHONPATH": str(ROOT / "src")}


@pytest.fixture
def measuring(tmp_path: Path, places: dict[str, str]) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start a command that serves a model and has much to ask it; gives it once the server is ready."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "bise", *arguments, "bits-per-byte"]
        command += ["--set", f"data.texts={tmp_path}/en.jsonl", "--set", f"root={tmp_path}/runs"]
        started.append(subprocess.Popen(command, env=places, stderr=subprocess.DEVNULL))
        logs = (tmp_path / "temporary").glob
        wait_until(lambda: any("is ready" in log.read_text() for log in logs("bise-eval-*/serve.log")))
        return started[0]

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("arguments", [("eval", "bise-demo"), ("compare", "bise-demo", "bise-demo")], ids=" ".join)
def test_the_server_ends_with_its_command(
    number: signal.Signals,
    arguments: tuple[str, ...],
    measuring: Callable[..., subprocess.Popen[bytes]],
    tmp_path: Path,
) -> None:
    process = measuring(*arguments)
    family = descendants(process.pid)
    assert len(family) >= 2  # the server and its engine
    process.send_signal(number)
    assert process.wait(DEADLINE_S) == -number
    wait_until(lambda: not any(map(is_running, family)))
    assert number == signal.SIGKILL or not list((tmp_path / "temporary").iterdir())


def test_where_the_system_does_not_help_the_end_of_stdin_ends_the_server(places: dict[str, str]) -> None:
    command = [sys.executable, "-m", "bise.lifetime", str(os.getpid()), "serve", "--port", "0"]
    with subprocess.Popen(command, env=places, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        try:
            wait_until(lambda: b"is ready" in process.stderr.readline())  # type: ignore[union-attr]
            family = descendants(process.pid)
            process.stdin.close()
            assert process.wait(DEADLINE_S) == 0
            wait_until(lambda: not any(map(is_running, family)))
        finally:
            process.kill()
