"""lm-eval as the engine of tasks: it builds the prompts, we answer them over the API, it scores the answers.

The task files are lm-eval's own format, in `task_files/`; questions come from the user's files, so that nothing is fetched.
Likelihoods follow lm-eval's convention: a prompt's trailing spaces belong to what is scored, and where both together are
longer than the context, the prompt loses its beginning, which is counted. `questions.py` imports this, once it is needed.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from datasets import Dataset, DatasetDict
from lm_eval.api.instance import Instance
from lm_eval.api.model import LM
from lm_eval.api.task import ConfigurableTask
from lm_eval.evaluator import evaluate

from bise.evals.api import Api, Ids, Progress
from bise.evals.data import Record

_TASK_FILES = Path(__file__).with_name("task_files")
_MAX_TOKENS = 256  # of an answer


class ApiModel(LM):  # type: ignore[misc]
    """A model behind an API, as lm-eval asks for one."""

    def __init__(self, api: Api, progress: Progress, *, chat: bool = False, max_tokens: int | None = None) -> None:
        super().__init__()
        self._api = api
        self._progress = progress
        self._chat = chat
        self._max_tokens = api.target.most_tokens(max_tokens or _MAX_TOKENS)
        self.cut: set[int] = set()  # documents whose prompts lost their beginning

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        """Of each continuation after its context."""
        pairs = [_moved_spaces(*request.args) for request in requests]
        texts = [text for context, continuation in pairs for text in (context, context + continuation)]
        ids = self._api.tokenize(texts)
        begin, special = self._api.beginning(), self._api.special_beginning()
        asked = []
        for request, context, whole in zip(requests, ids[::2], ids[1::2], strict=True):
            seen, scored = [*special, *whole[: len(context)]] if context else begin, whole[len(context) :]
            asked.append((self._fitted(seen, len(scored) + 1, request), scored))
        return [(found.nats, found.is_greedy) for found in self._api.likelihoods(asked, self._progress)]

    def loglikelihood_rolling(self, requests: list[Instance]) -> list[float]:
        """Not asked for: bits per byte are measured without lm-eval."""
        raise NotImplementedError

    def generate_until(self, requests: list[Instance]) -> list[str]:
        """What is written after each context, up to the first of some texts."""
        asked = [(context, [*settings["until"]]) for context, settings in (request.args for request in requests)]
        if self._chat:
            bodies = [
                {"messages": [{"role": "user", "content": context}], "max_tokens": self._max_tokens}
                for context, _ in asked
            ]
            answers = self._api.chat(bodies, self._progress)
            self.cut |= {r.doc_id for r, answer in zip(requests, answers, strict=True) if "refused" in answer}
            texts = [str(answer.get("content") or "") for answer in answers]
        else:
            texts = self._completed(requests)
        return [_before(text, until) for text, (_, until) in zip(texts, asked, strict=True)]

    def _completed(self, requests: Sequence[Instance]) -> list[str]:
        special, size = self._api.special_beginning(), self._max_tokens
        prompts = self._api.tokenize([request.args[0] for request in requests])
        return self._api.complete(
            [
                (self._fitted([*special, *ids], size, request), request.args[1]["until"], size)
                for request, ids in zip(requests, prompts, strict=True)
            ],
            self._progress,
        )

    def _fitted(self, ids: Ids, num_after: int, request: Instance) -> Ids:
        """The end of a prompt, so that so many tokens have room after it."""
        room = self._api.target.context_length - num_after
        if len(ids) > room:
            self.cut.add(request.doc_id)
        return ids[-room:]


def measure(name: str, records: Sequence[Record], model: ApiModel) -> list[Mapping[str, Any]]:
    """What lm-eval says of each record: a table with the prompt, the answers, the target and the metrics."""
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    table = yaml.safe_load((_TASK_FILES / f"{name}.yaml").read_text(encoding="utf-8"))
    split = DatasetDict({table["test_split"]: Dataset.from_list(list(records))})
    task = ConfigurableTask(config=table | {"custom_dataset": lambda **_: split, "num_fewshot": 0})
    found = evaluate(model, {name: task}, bootstrap_iters=0, log_samples=True)
    samples: Iterable[Mapping[str, Any]] = found["samples"][name]
    return sorted(samples, key=lambda sample: int(sample["doc_id"]))


def _moved_spaces(context: str, continuation: str) -> tuple[str, str]:
    kept = context.rstrip()
    return kept, context[len(kept) :] + continuation


def _before(text: str, until: Sequence[str]) -> str:
    for stop in until:
        text = text.split(stop)[0] if stop else text
    return text
