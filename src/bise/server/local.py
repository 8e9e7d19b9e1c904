"""The backend on this machine: the engine's process for the maths, this process for text."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

from bise.engine.process import EngineProcess, Progress
from bise.engine.requests import AdapterRef
from bise.engine.sampling import SamplingParams
from bise.errors import InputError, NotFoundError, UnavailableError
from bise.messages import Conversation
from bise.server.backend import (
    ChatEvent,
    ChatRequest,
    ContextOverflowError,
    Finished,
    FinishReason,
    ModelInfo,
    TextDelta,
)
from bise.server.stop import AnswerText
from bise.tokenizer.chat import ChatTokenizer
from bise.weights.adapters import adapter_key, adapter_times, split_reference
from bise.weights.spec import SPEC_FILE, read_spec
from bise.weights.store import DEFAULT_MODEL, read_card, shipped_directory


class LocalBackend:
    """One model directory, answered by an engine in a process of its own; requests wait until `start` is through.

    Its adapters in the store are offered as `model:adapter`, those that are there at the moment of asking.

    Raises:
        InputError: the directory holds no model.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._model = ModelInfo(
            id=directory.name,
            context_length=read_spec(directory).context_length,
            created=int((directory / SPEC_FILE).stat().st_mtime),
            demonstration=directory == shipped_directory(DEFAULT_MODEL),
            card_markdown=read_card(directory),
        )
        self._engine: EngineProcess | None = None
        self._tokenizer: ChatTokenizer | None = None
        self._started = asyncio.Event()
        self._used_adapters: dict[Path, str] = {}  # keys of those that the engine may have in memory

    async def start(self, progress: Progress | None = None) -> None:
        """Load the tokenizer here and the weights in the engine's process, both at once.

        Raises:
            InputError: the model's files are damaged.
            UnavailableError: the engine did not come up.
        """
        engine = asyncio.create_task(EngineProcess.start(self._directory, progress=progress))
        tokenizer = asyncio.create_task(asyncio.to_thread(ChatTokenizer.load, self._directory))
        try:
            await asyncio.wait({engine, tokenizer})
            self._engine, self._tokenizer = engine.result(), tokenizer.result()
        finally:
            engine.cancel()
            self._started.set()

    @property
    def ready(self) -> bool:
        """Whether the engine would answer now."""
        return self._engine is not None and self._engine.ready

    def models(self) -> tuple[ModelInfo, ...]:
        """List the model, then its adapters."""
        return (self._model, *(self._adapter_info(path, at) for path, at in adapter_times(self._model.id).items()))

    async def count_tokens(self, model: str, conversation: Conversation) -> int:
        """Count the tokens of the prompt for the next answer."""
        return len(await self._render(model, conversation))

    async def chat(self, request: ChatRequest) -> AsyncGenerator[ChatEvent, None]:
        """Check a request, and return its answer; the engine hears of it when that is iterated over."""
        prompt_ids = await self._render(request.model, request.conversation)
        room = self._model.context_length - len(prompt_ids)
        if room < (request.max_tokens or 1):
            raise ContextOverflowError(len(prompt_ids), request.max_tokens, self._model)
        return self._answer(prompt_ids, request, self._find_adapter(request.model))

    async def close(self) -> None:
        """End the engine's process."""
        if self._engine is not None:
            await self._engine.close()

    def _adapter_info(self, path: Path, installed_at: float) -> ModelInfo:
        return replace(
            self._model,
            id=f"{self._model.id}:{path.name}",
            created=int(installed_at),
            demonstration=False,
            card_markdown=read_card(path) or self._model.card_markdown,
            parent=self._model.id,
        )

    def _find_adapter(self, model: str) -> AdapterRef | None:
        """What a request for `model:adapter` wants beside the model; None for the model itself."""
        self._drop_removed_adapters()
        if model == self._model.id:
            return None
        base, name = split_reference(model)
        if base == self._model.id:
            for path in adapter_times(base):
                if path.name == name and (key := adapter_key(path)) is not None:
                    self._used_adapters[path] = key
                    return AdapterRef(key, str(path))
        names = ", ".join(each.id for each in self.models())
        raise NotFoundError(f"There is no model {model[:100]!r} here. Models on offer: {names}.")

    def _drop_removed_adapters(self) -> None:
        """Free the memory of adapters that were removed, or replaced under their name."""
        for path, key in list(self._used_adapters.items()):
            if adapter_key(path) != key:
                del self._used_adapters[path]
                if self._engine is not None:
                    self._engine.drop_adapter(key)

    async def _render(self, model: str, conversation: Conversation) -> list[int]:
        self._find_adapter(model)
        await self._started.wait()
        if self._tokenizer is None:
            raise UnavailableError("The model could not be loaded. The words in the server's terminal say why.")
        # Long text takes long: it must not stop everything else that this process does.
        rendered = await asyncio.to_thread(self._tokenizer.render, conversation, for_completion=True)
        return rendered.ids

    async def _answer(
        self, prompt_ids: Sequence[int], request: ChatRequest, adapter: AdapterRef | None
    ) -> AsyncGenerator[ChatEvent, None]:
        assert self._engine is not None
        assert self._tokenizer is not None
        params = SamplingParams(
            temperature=request.temperature,
            top_p=request.top_p,
            max_tokens=request.max_tokens,
            seed=request.seed,
            stop_ids=self._tokenizer.stop_ids,
        )
        text, num_tokens = AnswerText(self._tokenizer, request.stop), 0
        finish_reason: FinishReason = "stop"
        outputs = self._engine.generate(prompt_ids, params, tenant=request.tenant, adapter=adapter)
        async with aclosing(outputs):
            async for output in outputs:
                if output.finish_reason == "failed":
                    raise UnavailableError(f"{self._model.id} computed values that are not numbers. Ask again.")
                if output.finish_reason == "grammar":
                    raise InputError(
                        "Keeping to the schema or grammar took more work than a step may. Make it simpler: bound what "
                        "repeats, and leave out patterns within patterns."
                    )
                num_tokens += len(output.token_ids)
                if piece := text.feed(output.token_ids, is_last=output.finish_reason is not None):
                    yield TextDelta(piece)
                if text.stopped:
                    break
                finish_reason = output.finish_reason or finish_reason
        yield Finished(finish_reason, len(prompt_ids), num_tokens)
