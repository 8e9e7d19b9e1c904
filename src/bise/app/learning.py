"""Learning from feedback: `bise tune --from-feedback` as a program of its own, followed through its run directory.

The program outlives this server, and the next one finds it: it holds a lock as long as it runs, its words go to a log,
its steps into the run's metrics, and what came of it into the run's comparison. Each owner has one attempt at a time.
"""

import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from bise.config import home
from bise.errors import InputError, NotFoundError, UnavailableError
from bise.runs import write_atomically
from bise.store.accounts import User
from bise.store.branches import BusyError
from bise.store.tables import now
from bise.weights.adapters import adapter_directories, remove_adapter
from bise.weights.store import is_name

COMPARISON = "comparison.json"
_STATE, _LOG, _LOCK = "attempt.json", "log.txt", "lock"
_OWNER = "owner.json"  # in a run's directory: whose words it copied, as the program wrote it before them
_MAX_LOG_CHARS = 600
_CANCEL_S = 10.0
_TAIL_BYTES = 4096
_COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")

Status = Literal["running", "finished", "failed", "interrupted", "cancelled"]
LearnCommand = Callable[
    [User, str, str, bool], Sequence[str]
]  # (whose feedback, model, name of run and adapter, whether contacts are kept) -> the program


def learn_command(user: User, model: str, name: str, keep_contacts: bool) -> Sequence[str]:
    """Write the command that learns from a user's feedback without asking."""
    program = (sys.executable, "-m", "bise", "tune", "--from-feedback")
    kept = ("--keep-contacts",) if keep_contacts else ()
    return (*program, "--user", user.name, "--model", model, "--name", name, *kept, "--yes")


@dataclass(frozen=True)
class Attempt:
    """One attempt to learn, as the owner began it."""

    model: str
    name: str  # of the run and the adapter
    started_at: str  # ISO 8601
    pid: int
    keeps_contacts: bool = False  # phone numbers and e-mail addresses are learned as they are
    cancelled: bool = False
    decided: bool = False  # the owner kept what came of it, or went back

    @property
    def adapter(self) -> str:
        """The name under which what was learned is offered."""
        return f"{self.model}:{self.name}"


@dataclass(frozen=True)
class Learned:
    """What learning made of an owner's words, in all runs of theirs."""

    num_runs: int  # whose directories hold copies of them
    adapters: tuple[str, ...]  # that learned from them and are on offer


class Learning:
    """The attempts in `home()/learning`, each owner's own.

    Raises:
        OSError: from all methods, when the disk refuses.
    """

    def __init__(
        self,
        command: LearnCommand = learn_command,
        modules: Sequence[str] = ("pyarrow", "torch"),
    ) -> None:
        self._command = command
        self._modules = modules

    def missing(self) -> tuple[str, ...]:
        """Name the packages that learning needs and that are not installed."""
        return tuple(module for module in self._modules if find_spec(module) is None)

    def start(self, user: User, model: str, keep_contacts: bool = False) -> Attempt:
        """Begin to learn, or go on with an attempt that something interrupted, as that one was begun.

        Raises:
            BusyError: an attempt is running.
            UnavailableError: what learning needs is not installed.
        """
        if missing := self.missing():
            modules = ", ".join(missing)
            message = f'Learning needs {modules}, which is not installed. Type: pip install "bise[train]"'
            raise UnavailableError(message, code="learning_missing", modules=modules)
        owner = user.id
        directory = self._directory(owner)
        directory.mkdir(parents=True, exist_ok=True)
        before = self.attempt(owner)
        if before is not None and self.status(owner, before) == "running":
            raise _busy()
        goes_on = before is not None and before.model == model and self.status(owner, before) == "interrupted"
        name = before.name if before is not None and goes_on else self._free_name(model)
        keeps = before.keeps_contacts if before is not None and goes_on else keep_contacts
        pid = self._spawn(directory, self._command(user, model, name, keeps))
        attempt = Attempt(model, name, now().isoformat(timespec="seconds"), pid, keeps)
        self._keep(owner, attempt)
        return attempt

    def attempt(self, owner: str) -> Attempt | None:
        """Give the latest attempt of an owner that was not discarded."""
        try:
            return Attempt(**json.loads((self._directory(owner) / _STATE).read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None

    def status(self, owner: str, attempt: Attempt) -> Status:
        """Tell how an attempt stands."""
        if self._is_locked(owner):
            return "running"
        if (self._run(attempt) / COMPARISON).exists():
            return "finished"
        if attempt.cancelled:
            return "cancelled"
        return "failed" if self._complaint(owner) else "interrupted"

    def show(self, owner: str) -> dict[str, Any] | None:
        """Describe the latest attempt for the page: where it stands, or what came of it."""
        attempt = self.attempt(owner)
        if attempt is None:
            return None
        status = self.status(owner, attempt)
        shown: dict[str, Any] = {
            "model": attempt.model,
            "adapter": attempt.adapter,
            "started_at": attempt.started_at,
            "status": status,
            "decided": attempt.decided,
        }
        if status == "running":
            return shown | {"progress": self._progress(attempt)}
        if status == "finished":
            return shown | {"result": read_result(self._run(attempt) / COMPARISON)}
        return shown | {"error": self._complaint(owner) if status == "failed" else None}

    def cancel(self, owner: str) -> None:
        """End a running attempt and forget what it learned so far; without effect when none is running."""
        attempt = self.attempt(owner)
        if attempt is None or not self._is_locked(owner):
            return
        self._keep(owner, replace(attempt, cancelled=True))
        for end in (signal.SIGINT, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(attempt.pid, end)
            if self._wait_for_end(owner):
                break
        with suppress(NotFoundError):  # it is there only where the program was comparing already
            remove_adapter(attempt.model, attempt.name)
        shutil.rmtree(self._run(attempt), ignore_errors=True)

    def decide(self, owner: str) -> Attempt:
        """Note that the owner has decided on what came of the latest attempt.

        Raises:
            NotFoundError: nothing came of it.
        """
        attempt = self._finished(owner)
        self._keep(owner, replace(attempt, decided=True))
        return attempt

    def discard(self, owner: str) -> Attempt:
        """Delete what came of the latest attempt: the adapter, the run, and what it learned from.

        Raises:
            NotFoundError: nothing came of it.
        """
        attempt = self._finished(owner)
        with suppress(NotFoundError):  # removed elsewhere already
            remove_adapter(attempt.model, attempt.name)
        shutil.rmtree(self._run(attempt), ignore_errors=True)
        shutil.rmtree(self._directory(owner))
        return attempt

    def learned(self, owner: str) -> Learned:
        """Tell what there is of an owner's words in all runs that learned from them, the earlier ones and others' too."""
        runs = _runs_of(owner)
        return Learned(sum(map(_holds_copies, runs)), tuple(filter(None, map(_adapter_of, runs))))

    def forget(self, owner: str) -> Learned:
        """End an attempt, and delete what all runs copied of the owner's words; tells how many, and which adapters stay.

        Of a run whose adapter stays there remains a note of whose it is, so that it can be named later.
        """
        attempt = self.attempt(owner)
        latest = [] if attempt is None else [self._run(attempt)]
        self.cancel(owner)
        runs = list(dict.fromkeys([*_runs_of(owner), *latest]))
        forgotten = Learned(sum(map(_holds_copies, runs)), tuple(filter(None, map(_adapter_of, runs))))
        for run in runs:
            note = (run / _OWNER).read_text(encoding="utf-8") if _adapter_of(run) else ""
            shutil.rmtree(run, ignore_errors=True)
            if note:
                run.mkdir()
                write_atomically(run / _OWNER, note)
        shutil.rmtree(self._directory(owner), ignore_errors=True)
        return forgotten

    def _finished(self, owner: str) -> Attempt:
        attempt = self.attempt(owner)
        if attempt is None or self.status(owner, attempt) != "finished":
            raise NotFoundError(
                "Nothing was learned that could be kept or discarded. Start again.", code="nothing_learned"
            )
        return attempt

    def _directory(self, owner: str) -> Path:
        return home() / "learning" / owner

    def _run(self, attempt: Attempt) -> Path:
        return _run_directory(attempt.name)

    def _keep(self, owner: str, attempt: Attempt) -> None:
        write_atomically(self._directory(owner) / _STATE, json.dumps(asdict(attempt)) + "\n")

    def _free_name(self, model: str) -> str:
        number = 1
        taken = {path.name for path in adapter_directories(model)}
        while (name := f"feedback-{number}") in taken or _run_directory(name).exists():
            number += 1
        return name

    def _spawn(self, directory: Path, command: Sequence[str]) -> int:
        """Start the program with the lock in its hands; it lets go of it by ending."""
        with (directory / _LOCK).open("w") as lock, (directory / _LOG).open("wb") as log:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise _busy() from None
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=(lock.fileno(),),
                start_new_session=True,  # Ctrl-C in the server's terminal is not meant for it
            )
        threading.Thread(target=process.wait, daemon=True).start()  # or it would stay as a zombie
        return process.pid

    def _is_locked(self, owner: str) -> bool:
        try:
            with (self._directory(owner) / _LOCK).open("r") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    def _wait_for_end(self, owner: str) -> bool:
        ended = threading.Event()
        for _ in range(int(_CANCEL_S / 0.05)):
            if not self._is_locked(owner):
                return True
            ended.wait(0.05)
        return False

    def _progress(self, attempt: Attempt) -> dict[str, Any]:
        """Where the program stands: the last line of its metrics that tells of a step."""
        steps = [entry for entry in _last_lines(self._run(attempt) / "metrics.jsonl") if "loss" in entry]
        if not steps:
            return {"step": 0, "num_steps": None, "seconds_left": None}
        step, num_steps, seconds = steps[-1]["step"], steps[-1].get("num_steps"), steps[-1].get("seconds", 0.0)
        left = round(seconds / step * (num_steps - step)) if num_steps else None
        return {"step": step, "num_steps": num_steps, "seconds_left": left}

    def _complaint(self, owner: str) -> str:
        """What the program said last about why it ended; empty when it was ended without a word."""
        try:
            log = (self._directory(owner) / _LOG).read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return ""
        lines = _COLOURS.sub("", log).splitlines()
        said = [line.partition(": ")[2] for line in lines if line.startswith(("bise: ", "Error: "))]
        if said:
            return said[-1][:_MAX_LOG_CHARS]
        crashed = any(line.startswith("Traceback ") for line in lines)
        return lines[-1][:_MAX_LOG_CHARS] if crashed else ""


def _run_directory(name: str) -> Path:
    return home() / "runs" / "tune" / name


def _runs_of(owner: str) -> list[Path]:
    """The runs that copied an owner's words, by name."""
    notes = sorted(_run_directory("any").parent.glob(f"*/{_OWNER}"))
    return [note.parent for note in notes if _read_note(note.parent).get("user") == owner]


def _read_note(run: Path) -> dict[str, Any]:
    """Whose words a run copied, and for which model; nothing where there is no note that can be read."""
    try:
        note = json.loads((run / _OWNER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return note if isinstance(note, dict) else {}


def _holds_copies(run: Path) -> bool:
    return run.is_dir() and any(path.name != _OWNER for path in run.iterdir())


def _adapter_of(run: Path) -> str | None:
    """The adapter that a run made, if it is still there."""
    model = str(_read_note(run).get("model", ""))
    names = {path.name for path in adapter_directories(model)} if is_name(model) else set()
    return f"{model}:{run.name}" if run.name in names else None


def read_result(comparison: Path) -> dict[str, Any]:
    """Read what learning changed, as the page shows it.

    Likenesses are shares of words in common, 0 to 1. Losses are means over languages: of held-out corrections in nats, of
    general text in bits per byte.

    Raises:
        InputError: the file is damaged.
    """
    try:
        told = json.loads(comparison.read_text(encoding="utf-8"))
        general = [name for name in told["after"] if name.startswith("text ")]
        answers = [name for name in told["after"] if not name.startswith(("text ", "pairs "))]
        corrections = answers or [name for name in told["after"] if name.startswith("pairs ")]
        return {
            "learned": told["learned"],
            "held_out": told["held_out"],
            "seconds": told["seconds"],
            "like_wanted": told["like_wanted"],
            "others_like_before": told["others_like_before"],
            "num_others": told["num_others"],
            "corrections": _means(told, corrections, "loss"),
            "general": _means(told, general, "bits_per_byte"),
            "answers": told["answers"][:3],
            "warnings": told["warnings"],
        }
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{comparison} is damaged ({error!r}). Discard what was learned, and start again.") from None


def _busy() -> BusyError:
    message = "Bise is learning from your feedback already. Wait for its end, or cancel it."
    return BusyError(message, code="learning_busy")


def _means(told: dict[str, Any], names: Sequence[str], key: str) -> dict[str, float] | None:
    if not names:
        return None
    return {when: sum(told[when][name][key] for name in names) / len(names) for when in ("before", "after")}


def _last_lines(path: Path) -> list[dict[str, Any]]:
    """The whole lines at the end of a file that is being written."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _TAIL_BYTES))
            tail = file.read()
    except FileNotFoundError:
        return []
    lines = tail.split(b"\n")[0 if size <= _TAIL_BYTES else 1 : -1]
    return [json.loads(line) for line in lines]
