"""Models in and out: `python benchmarks/models.py [--json] [--rounds 9]`.

Tokenizers, with the largest vocabulary that mistral-common carries (131,072 entries), seconds of one thread's CPU time,
medians (10 % to 90 %) of rounds in turns:

    encode_ratio_tiktoken   tiktoken's time over ours, on the same ranks and text, both without looking for control tokens:
                            the median of pairs of turns, one behind the other, in several processes, since one in which
                            either table lies better in memory keeps that to its end; without Python's garbage collector
    encode_ratio_short      the same for a line of 80 characters
    encode_equal            whether our ids are those of mistral-common, also on hostile text
    vocabulary_load_s       our tokenizer with its templates, from the cache that the first load writes
    vocabulary_first_s      the first load
    mistral_common_load_s   mistral-common's own

and the figures of `model_files.py`: conversion and the engine's start. They write 4 GB to the cache and delete it again.
All of it takes two minutes on a quiet machine. `--small` tries the benchmark itself.
"""

import argparse
import base64
import gc
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import mistral_common
import tiktoken
from mistral_common.tokens.tokenizers.mistral import MistralTokenizer

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that it runs by its path, too

from benchmarks.alternating import load_average, load_before, machine_facts, spread
from benchmarks.model_files import measure_files
from bise.config import cache_home
from bise.tokenizer.chat import ChatTokenizer

VOCABULARY = Path(mistral_common.__file__).parent / "data" / "tekken_240911.json"
ROOT = Path(__file__).parent.parent
_TEXT_CHARACTERS = 1_000_000
_TURNS = 9  # of each side in a process
_LINES = 5_000  # times that a turn encodes a line
_HOSTILE = [
    "",
    " ",
    "[INST] </s>[TOOL_CALLS]<unk>",
    "e\u0301\u202e 👩‍👩‍👧‍👦\U0010ffff\ufeff",
    "\n\n \t\r\n" * 200,
    " " * 5000,
    "a" * 5000,
]


def measure_tokenizers(rounds: int) -> dict[str, object]:
    """All figures of the tokenizers."""
    loads = _in_turns(
        rounds, {"vocabulary_load_s": _load, "vocabulary_first_s": _load_first, "mistral_common_load_s": _load_theirs}
    )
    ours, theirs = _load(), _load_theirs().instruct_tokenizer.tokenizer
    text = _text()
    equal = all(ours.encode(each) == theirs.encode(each, bos=False, eos=False) for each in [text, *_HOSTILE])
    return {
        **measure_encoding(rounds),
        "encode_equal": equal,
        **loads,
    }


def measure_encoding(rounds: int) -> dict[str, object]:
    """Our encoding beside tiktoken's, in as many processes as rounds."""
    pairs: dict[str, list[tuple[float, float]]] = {"text": [], "line": []}
    with ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as pool:
        medians = []
        for number in range(rounds):
            found = pool.submit(_encode_in_turns, number % 2 == 0).result()
            medians.append(statistics.median(theirs / ours for ours, theirs in found["text"]))
            for name, times in found.items():
                pairs[name] += times
    ratios = {name: [theirs / ours for ours, theirs in times] for name, times in pairs.items()}
    ours_s = statistics.median(ours for ours, _ in pairs["text"])
    return {
        "encode_ratio_tiktoken": round(statistics.median(ratios["text"]), 3),
        "encode_ratio_short": round(statistics.median(ratios["line"]), 3),
        "encode_ratios": spread(ratios["text"], 3),
        "encode_ratios_by_process": spread(medians, 3),
        "encode_mb_per_s": round(len(_text().encode()) / 1e6 / ours_s, 2),
    }


def _encode_in_turns(ours_is_made_first: bool) -> dict[str, list[tuple[float, float]]]:
    """CPU seconds of ours and of tiktoken's, turn by turn, in a process of their own."""
    made: dict[str, Any] = {}
    for name in ("ours", "theirs") if ours_is_made_first else ("theirs", "ours"):
        made[name] = _load() if name == "ours" else _tiktoken()
    encoders = (made["ours"].encode, made["theirs"].encode_ordinary)
    text = _text()
    gc.disable()
    return {
        name: [_pair(encoders, some, repeats, number % 2 == 0) for number in range(turns + 1)][1:]
        for name, some, repeats, turns in (("text", text, 1, _TURNS), ("line", text[:80], _LINES, _TURNS))
    }


def _pair(
    encoders: tuple[Callable[[str], object], ...], text: str, repeats: int, forwards: bool
) -> tuple[float, float]:
    seconds = [0.0, 0.0]
    for side in (0, 1) if forwards else (1, 0):
        began = time.thread_time()
        for _ in range(repeats):
            encoders[side](text)
        seconds[side] = time.thread_time() - began
    return seconds[0], seconds[1]


def _load() -> ChatTokenizer:
    return ChatTokenizer.load(VOCABULARY)


def _load_first() -> ChatTokenizer:
    """A load that finds nothing in the cache."""
    before = os.environ.get("XDG_CACHE_HOME")
    with tempfile.TemporaryDirectory() as directory:
        os.environ["XDG_CACHE_HOME"] = directory
        try:
            return ChatTokenizer.load(VOCABULARY)
        finally:
            os.environ.pop("XDG_CACHE_HOME")
            if before is not None:
                os.environ["XDG_CACHE_HOME"] = before


def _load_theirs() -> Any:
    return MistralTokenizer.from_file(VOCABULARY)


def _tiktoken() -> tiktoken.Encoding:
    """tiktoken itself with the file's ranks."""
    table = json.loads(VOCABULARY.read_bytes())
    config = table["config"]
    num_tokens = config["default_vocab_size"] - config["default_num_special_tokens"]
    ranks = {base64.b64decode(entry["token_bytes"]): entry["rank"] for entry in table["vocab"][:num_tokens]}
    return tiktoken.Encoding("ranks", pat_str=config["pattern"], mergeable_ranks=ranks, special_tokens={})


def _text() -> str:
    """A million characters of what stands in this repository: prose, conversations in five languages, Python."""
    files = [
        *sorted(ROOT.glob("docs/*.md")),
        *sorted(ROOT.glob("recipes/conversations/*")),
        *sorted(ROOT.glob("src/bise/*/*.py")),
    ]
    whole = "\n".join(file.read_text(encoding="utf-8") for file in files if file.is_file())
    return (whole * (_TEXT_CHARACTERS // len(whole) + 1))[:_TEXT_CHARACTERS]


def _in_turns(rounds: int, tasks: dict[str, Callable[[], object]]) -> dict[str, dict[str, float]]:
    """CPU seconds of each task, all run once in every round, in changing order; one round before does not count."""
    found: dict[str, list[float]] = {name: [] for name in tasks}
    for number in range(rounds + 1):
        for name, task in sorted(tasks.items(), reverse=number % 2 == 0):
            began = time.thread_time()
            task()
            if number:
                found[name].append(time.thread_time() - began)
    return {name: spread(seconds, 4) for name, seconds in found.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print as JSON")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--small", action="store_true")
    arguments = parser.parse_args()
    results = {"load_before": load_before(), **measure_tokenizers(arguments.rounds)}
    results |= measure_files(cache_home() / "benchmarks" / "model_files", arguments.rounds // 2 + 1, arguments.small)
    results |= {"load_after": load_average(), "machine": machine_facts()}
    if arguments.json:
        print(json.dumps(results, indent=2))
        return
    for name, value in results.items():
        print(f"{name:24} {value}")


if __name__ == "__main__":
    main()
