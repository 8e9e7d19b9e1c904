"""Greedy answers of a model in the store, with and without an adapter, by the engine that serves it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bise.engine.core import Engine
from bise.engine.forward import Model
from bise.engine.kernels.table import choose_kernels
from bise.engine.requests import AdapterRef, Request
from bise.engine.sampling import SamplingParams
from bise.messages import Conversation
from bise.tokenizer.chat import ChatTokenizer
from bise.weights.adapters import open_adapter
from bise.weights.files import open_weights

_ROOM = 8  # tokens that must be left of the context for an answer


@dataclass(frozen=True)
class Answer:
    """What a model says."""

    text: str
    is_whole: bool  # it ended by itself


class Answerer:
    """A model that answers; made by `answering`."""

    def __init__(self, engine: Engine, tokenizer: ChatTokenizer) -> None:
        self._engine = engine
        self._tokenizer = tokenizer

    def answers(self, questions: Sequence[Conversation], max_tokens: int, adapter: Path | None = None) -> list[Answer]:
        """The most likely answer to each conversation, at most `max_tokens` long; empty where the context is full.

        Raises:
            InputError: the adapter is damaged or does not fit.
        """
        ref = self._load(adapter) if adapter else None
        told: dict[str, list[int]] = {}
        whole: set[str] = set()
        params = SamplingParams(temperature=0, max_tokens=max_tokens, stop_ids=(self._tokenizer.eos_id,))
        for number, question in enumerate(questions):
            ids = self._tokenizer.render(question, for_completion=True).ids
            told[str(number)] = []
            if len(ids) + _ROOM <= self._engine.max_length:
                self._engine.add_request(Request(str(number), ids, params, adapter=ref))
        while not self._engine.is_idle:
            for output in self._engine.step():
                told[output.request_id] += output.token_ids
                if output.finish_reason == "stop":
                    whole.add(output.request_id)
        return [Answer(self._tokenizer.decode(ids).strip(), name in whole) for name, ids in told.items()]

    def _load(self, adapter: Path) -> AdapterRef:
        key = str(adapter)
        if key not in self._engine.adapters:
            model = self._engine.model
            self._engine.adapters.add(key, model.pack_adapter(open_adapter(adapter, model.spec)))
        return AdapterRef(key, key)


@contextmanager
def answering(directory: Path) -> Iterator[Answerer]:
    """The model in a directory, ready to answer as long as the block lasts.

    Raises:
        InputError: it is damaged.
    """
    model = Model(open_weights(directory), choose_kernels().kernels)
    try:
        yield Answerer(Engine(model), ChatTokenizer.load(directory))
    finally:
        model.close()
