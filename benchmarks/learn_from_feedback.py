"""What fifty corrections made in the chat change: `python benchmarks/learn_from_feedback.py [--json] [--show]`.

A real `bise serve` with the shipped model and an empty home gets the questions and corrections of `town_hall.toml`
through the page's own interface. Then it learns, what was learned is kept, and the same running server is asked
again; at last it goes back. Answers are drawn as in the chat, at its temperature, so that two runs differ a little.

    new_wordings_right   share of questions in wordings that nobody corrected whose answer says what was wanted
    unrelated_right      share of questions about other things that are answered rightly
    hijacked             share of the latter whose answer repeats three words in a row of a correction
    seconds              from pressing "Start learning" to what changed; of these, training

"""

import argparse
import json
import os
import re
import sys
import tempfile
import time
import tomllib
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that it runs by its path, too

from bise.hardware import processor_name
from tests.command import Server, serve

_PAUSE_S = 0.02
_RUN = 3  # words in a row that are no chance


@dataclass(frozen=True)
class Question:
    """What is asked, and what must stand in the answer: of each string one of its parts between bars."""

    text: str
    words: Sequence[str]

    def is_right(self, answer: str) -> bool:
        """Whether the answer says it."""
        return all(any(part in answer.lower() for part in word.split("|")) for word in self.words)


@dataclass(frozen=True)
class Task:
    """What is corrected, and what is asked afterwards."""

    corrections: Mapping[str, str]  # question -> better answer
    new_wordings: Sequence[Question]
    unrelated: Sequence[Question]

    def is_hijacked(self, answer: str) -> bool:
        """Whether an answer talks about the corrections."""
        return bool(_runs([answer]) & _runs(self.corrections.values()))


class Page:
    """The server as the chat's page asks it."""

    def __init__(self, server: Server) -> None:
        jar = urllib.request.HTTPCookieProcessor()
        self._opener = urllib.request.build_opener(jar)
        self._url = server.url
        self._opener.open(server.entrance).close()

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """Send a request; its JSON answer."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._url + path, data, {"content-type": "application/json"}, method=method)
        with self._opener.open(request) as response:
            return json.loads(response.read() or b"null")

    def say(self, question: str) -> dict[str, Any]:
        """Ask in a new chat and wait; the answer as a message."""
        chat = self.ask("POST", "/api/conversations", {})["id"]
        self.ask("POST", f"/api/conversations/{chat}/messages", {"content": question, "client_id": "benchmark"})
        while (told := self.ask("GET", f"/api/conversations/{chat}"))["generating"]:
            time.sleep(_PAUSE_S)
        message: dict[str, Any] = told["messages"][-1]
        return message

    def learn(self) -> dict[str, Any]:
        """Learn from all feedback and wait; what came of it."""
        self.ask("POST", "/api/learning")
        while (attempt := self.ask("GET", "/api/learning")["attempt"])["status"] == "running":
            time.sleep(0.5)
        if attempt["status"] != "finished":
            raise SystemExit(f"Learning {attempt['status']}: {attempt['error']}")
        result: dict[str, Any] = attempt["result"]
        return result


def read_task() -> Task:
    """The task of `town_hall.toml`."""
    table = tomllib.loads(Path(__file__).with_name("town_hall.toml").read_text(encoding="utf-8"))
    topics = table["topics"]
    return Task(
        {question: topic["answer"] for topic in topics for question in topic["asked"]},
        [Question(question, topic["words"]) for topic in topics for question in topic["held_out"]],
        [Question(question, words) for question, words in table["unrelated"].items()],
    )


def measure(page: Page, task: Task, show: bool) -> dict[str, Any]:
    """Correct, learn, keep, go back: shares before, after, and back."""
    for question, better in task.corrections.items():
        page.ask("PUT", f"/api/messages/{page.say(question)['id']}/better", {"content": better})
    shares = {"before": _shares(page, task, show)}
    began = time.monotonic()
    result = page.learn()
    seconds = time.monotonic() - began
    page.ask("POST", "/api/learning/keep")
    shares["after"] = _shares(page, task, show)
    page.ask("POST", "/api/learning/back")
    shares["gone_back"] = _shares(page, task, show)
    return {
        "corrections": len(task.corrections),
        "learned": result["learned"],
        "held_out": result["held_out"],
        "seconds": round(seconds, 1),
        "training_seconds": round(result["seconds"], 1),
        **{name: {when: told[name] for when, told in shares.items()} for name in shares["before"]},
        "num_new_wordings": len(task.new_wordings),
        "num_unrelated": len(task.unrelated),
    }


def _shares(page: Page, task: Task, show: bool) -> dict[str, float]:
    new = [(question, page.say(question.text)["content"]) for question in task.new_wordings]
    unrelated = [(question, page.say(question.text)["content"]) for question in task.unrelated]
    if show:
        for question, answer in (*new, *unrelated):
            print("+" if question.is_right(answer) else "-", question.text, "->", answer, file=sys.stderr)
    return {
        "new_wordings_right": _share(question.is_right(answer) for question, answer in new),
        "unrelated_right": _share(question.is_right(answer) for question, answer in unrelated),
        "hijacked": _share(task.is_hijacked(answer) for _, answer in unrelated),
    }


def _share(found: Iterable[bool]) -> float:
    values = list(found)
    return round(sum(values) / len(values), 3)


def _runs(texts: Iterable[str]) -> set[tuple[str, ...]]:
    split = [re.findall(r"\w+", text.lower()) for text in texts]
    return {tuple(words[at : at + _RUN]) for words in split for at in range(len(words) - _RUN + 1)}


def main() -> None:
    """Serve the shipped model in an empty home, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--show", action="store_true", help="Print every question and answer on stderr.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        os.environ["BISE_HOME"] = directory
        with serve(log=Path(directory) / "log") as server:
            figures = measure(Page(server), read_task(), options.show)
    figures |= {"processor": processor_name(), "load": round(os.getloadavg()[0], 2)}
    if options.json:
        print(json.dumps(figures, indent=2))
        return
    for name, value in figures.items():
        print(f"{name:20} {value}")


if __name__ == "__main__":
    main()
