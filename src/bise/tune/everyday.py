"""Everyday questions, to which a model keeps its own answers while it learns from corrections.

Most are rehearsed: the model learns its own answers to them among the corrections, so that it forgets none. The others
are watched: they are never learned, and how like before they are answered afterwards tells what the corrections cost.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from importlib.resources import files

_WATCHED = 5  # one question in so many
_NEAR = 0.5


def questions() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Those to rehearse and those to watch, in five languages."""
    text = (files("bise.tune") / "texts" / "everyday.jsonl").read_text(encoding="utf-8")
    prompts = [json.loads(line)["prompt"] for line in text.splitlines()]
    rehearsed = tuple(prompt for number, prompt in enumerate(prompts) if number % _WATCHED)
    return rehearsed, tuple(prompts[::_WATCHED])


def apart(prompts: Iterable[str], corrected: Sequence[str]) -> list[str]:
    """Those that ask something else than the corrected questions do, which shall be answered differently now."""
    return [prompt for prompt in prompts if max((likeness(prompt, each) for each in corrected), default=0.0) < _NEAR]


def likeness(text: str, other: str) -> float:
    """How much of two texts is the same, 0 to 1: the F1 of their words (ROUGE-1, Lin 2004), whatever their order."""
    words, others = _words(text), _words(other)
    if not words or not others:
        return float(words == others)
    return 2 * (words & others).total() / (words.total() + others.total())


def _words(text: str) -> Counter[str]:
    return Counter(re.findall(r"\w+", text.lower()))
