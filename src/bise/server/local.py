"""The backend on this machine: the engine's process for the maths, this process for text."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from pathlib import Path

from bise.engine.grammar import calls_grammar, object_grammar, schema_grammar
from bise.engine.process import EngineProcess, Progress
from bise.engine.requests import AdapterRef, Grammar, PromptLogprobs, StepOutput
from bise.engine.sampling import SamplingParams
from bise.engine.settings import EngineConfig
from bise.errors import BiseError, InputError, UnavailableError
from bise.messages import Conversation
from bise.server.answer import AnswerWriter, named, scored
from bise.server.backend import (
    ChatEvent,
    ChatRequest,
    CompletionEvent,
    CompletionRequest,
    ContextOverflowError,
    EmbeddingRequest,
    Embeddings,
    Finished,
    ModelInfo,
    PromptTokens,
    Sampling,
    TextDelta,
    UnsupportedError,
    no_such_model,
)
from bise.server.metrics import EngineLoad
from bise.tokenizer.answers import ARGS, TOOL_CALLS, AnswerParts
from bise.tokenizer.chat import ChatTokenizer
from bise.weights.adapters import adapter_key, adapter_times, split_reference
from bise.weights.spec import SPEC_FILE, read_spec
from bise.weights.store import DEFAULT_MODEL, read_card, shipped_directory

FORBIDDEN = float("-inf")


class LocalBackend:
    """One model directory, answered by an engine in a process of its own; requests wait until `start` is through.

    Its adapters in the store are offered as `model:adapter`, those that are there at the moment of asking. A smaller model
    of the same vocabulary, the `draft`, may guess next tokens for it, which changes nothing but the time.

    Raises:
        InputError: the directory holds no model.
    """

    def __init__(self, directory: Path, draft: Path | None = None) -> None:
        self._directory = directory
        self._config = EngineConfig(draft=str(draft) if draft is not None else None)
        self._model = ModelInfo(
            id=directory.name,
            context_length=read_spec(directory).context_length,
            created=int((directory / SPEC_FILE).stat().st_mtime),
            demonstration=directory == shipped_directory(DEFAULT_MODEL),
            card_markdown=read_card(directory),
            fills_in_the_middle=True,
            description="Embeddings are means of its last hidden states: it was not trained to compare texts.",
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
        engine = asyncio.create_task(EngineProcess.start(self._directory, self._config, progress))
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

    @property
    def load(self) -> EngineLoad:
        """What the engine holds at the moment."""
        return EngineLoad(self._model.id, self._engine.stats if self._engine is not None else None)

    def models(self) -> tuple[ModelInfo, ...]:
        """List the model, then its adapters."""
        return (self._model, *(self._adapter_info(path, at) for path, at in adapter_times(self._model.id).items()))

    async def tokenizer(self, model: str) -> ChatTokenizer:
        """Give the model's vocabulary, once it is loaded."""
        self._find_adapter(model)
        await self._started.wait()
        if self._tokenizer is None:
            message = "The model could not be loaded. The words in the server's terminal say why."
            raise UnavailableError(message, code="model_not_loaded")
        return self._tokenizer

    async def count_tokens(self, model: str, conversation: Conversation) -> int:
        """Count the tokens of the prompt for the next answer."""
        return len(await self._render(await self.tokenizer(model), conversation))

    async def chat(self, request: ChatRequest) -> AsyncGenerator[ChatEvent, None]:
        """Check a request, and return its answer; the engine hears of it when that is iterated over."""
        tokenizer = await self.tokenizer(request.model)
        grammar = _grammar(request, tokenizer)
        prompt_ids = await self._render(tokenizer, request.conversation)
        params = self._params(request.sampling, tokenizer, len(prompt_ids))
        if request.conversation.tools and request.tool_choice.mode == "none":
            params = _without_calls(params, tokenizer)
        params.check_vocabulary(tokenizer.vocab_size)
        return self._answer(self._generate(prompt_ids, params, request, grammar), prompt_ids, request)

    async def complete(self, request: CompletionRequest) -> AsyncGenerator[CompletionEvent, None]:
        """Check a request for plain text, and return its answer."""
        tokenizer = await self.tokenizer(request.model)
        prompt_ids = await self._prompt(tokenizer, request.prompt, request.suffix)
        asked = request.sampling
        # To score a prompt alone, a token has to be drawn all the same; it is not told.
        sampling = replace(asked, max_tokens=1) if asked.max_tokens == 0 else asked
        params = self._params(sampling, tokenizer, len(prompt_ids))
        params.check_vocabulary(tokenizer.vocab_size)
        if request.echo_from >= len(prompt_ids):
            raise InputError(
                f"echo_from is {request.echo_from}, but the prompt has {len(prompt_ids)} tokens, from 0 on."
            )
        if request.echo:
            params = replace(params, prompt_logprobs=params.logprobs, scored_from=max(1, request.echo_from))
        return self._completion(self._generate(prompt_ids, params, request), prompt_ids, params, request)

    async def embed(self, request: EmbeddingRequest) -> Embeddings:
        """Turn each text into the mean of its last hidden states."""
        tokenizer = await self.tokenizer(request.model)
        prompts = [await self._prompt(tokenizer, text, None) for text in request.inputs]
        for prompt_ids in prompts:
            self._check_room(prompt_ids, 1)
        assert self._engine is not None
        tenant, adapter = request.tenant, self._find_adapter(request.model)
        work = [self._engine.embed(prompt_ids, tenant=tenant, adapter=adapter) for prompt_ids in prompts]
        try:
            async with asyncio.TaskGroup() as group:
                vectors = [group.create_task(each) for each in work]
        except* BiseError as errors:
            raise errors.exceptions[0] from None
        return Embeddings(tuple(task.result() for task in vectors), sum(map(len, prompts)))

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
        raise no_such_model(model, self.models())

    def _drop_removed_adapters(self) -> None:
        """Free the memory of adapters that were removed, or replaced under their name."""
        for path, key in list(self._used_adapters.items()):
            if adapter_key(path) != key:
                del self._used_adapters[path]
                if self._engine is not None:
                    self._engine.drop_adapter(key)

    def _generate(
        self,
        prompt_ids: Sequence[int],
        params: SamplingParams,
        request: ChatRequest | CompletionRequest,
        grammar: Grammar | None = None,
    ) -> AsyncGenerator[StepOutput, None]:
        """The engine's outputs; it hears of the request when they are iterated over."""
        assert self._engine is not None
        adapter = self._find_adapter(request.model)
        tenant, tally = request.tenant, request.tally
        return self._engine.generate(
            prompt_ids,
            params,
            tenant=tenant,
            adapter=adapter,
            grammar=grammar,
            place=partial(setattr, tally, "queue_place"),
        )

    async def _render(self, tokenizer: ChatTokenizer, conversation: Conversation) -> list[int]:
        # Long text takes long: it must not stop everything else that this process does.
        rendered = await asyncio.to_thread(tokenizer.render, conversation, for_completion=True)
        return rendered.ids

    async def _prompt(self, tokenizer: ChatTokenizer, prompt: str | tuple[int, ...], suffix: str | None) -> list[int]:
        if not isinstance(prompt, str):
            wrong = next((token for token in prompt if not 0 <= token < tokenizer.vocab_size), None)
            if wrong is not None or not prompt:
                what = f"holds the token {wrong}" if prompt else "is empty"
                raise InputError(f"The prompt {what}. {self._model.id} has the tokens 0 to {tokenizer.vocab_size - 1}.")
            return list(prompt)
        if suffix is not None:
            return await asyncio.to_thread(tokenizer.fill_in_the_middle, prompt, suffix)
        return tokenizer.begin(await asyncio.to_thread(tokenizer.encode, prompt))

    def _check_room(self, prompt_ids: Sequence[int], max_tokens: int | None) -> None:
        if self._model.context_length - len(prompt_ids) < (max_tokens or 1):
            raise ContextOverflowError(len(prompt_ids), max_tokens, self._model)

    def _params(self, sampling: Sampling, tokenizer: ChatTokenizer, num_prompt_tokens: int) -> SamplingParams:
        self._check_room(range(num_prompt_tokens), sampling.max_tokens)
        return SamplingParams(
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            top_k=sampling.top_k,
            min_p=sampling.min_p,
            max_tokens=sampling.max_tokens,
            min_tokens=sampling.min_tokens,
            seed=sampling.seed,
            stop_ids=tokenizer.stop_ids,
            presence_penalty=sampling.presence_penalty,
            frequency_penalty=sampling.frequency_penalty,
            repetition_penalty=sampling.repetition_penalty,
            logit_bias=sampling.logit_bias,
            n=sampling.n,
            logprobs=sampling.logprobs,
        )

    async def _answer(
        self, outputs: AsyncGenerator[StepOutput, None], prompt_ids: Sequence[int], request: ChatRequest
    ) -> AsyncGenerator[ChatEvent, None]:
        assert self._engine is not None
        assert self._tokenizer is not None
        tools, choice, writers = bool(request.conversation.tools), request.tool_choice, []
        for index in range(request.sampling.n):
            parts = AnswerParts(self._tokenizer, tools=tools, prompt_ids=prompt_ids)
            stops = request.sampling.stop
            writers.append(AnswerWriter(self._tokenizer, parts, stops, index=index, parallel=choice.parallel))
        request.tally.num_prompt_tokens = len(prompt_ids)
        async with aclosing(outputs):
            async for output in outputs:
                writer = writers[output.index]
                if writer.ended:
                    continue
                self._check_ending(output)
                events = writer.feed(output)
                request.tally.num_completion_tokens = sum(each.num_tokens for each in writers)
                for event in events:
                    yield event
                if writer.ended:
                    if output.finish_reason is None:
                        self._engine.end_answer(output)
                    yield writer.finished(len(prompt_ids))

    async def _completion(
        self,
        outputs: AsyncGenerator[StepOutput, None],
        prompt_ids: Sequence[int],
        params: SamplingParams,
        request: CompletionRequest,
    ) -> AsyncGenerator[CompletionEvent, None]:
        assert self._engine is not None
        tokenizer = self._tokenizer
        assert tokenizer is not None
        stops = request.sampling.stop
        parts = [AnswerParts(tokenizer, tools=False, thoughts=False) for _ in range(params.n)]
        writers = [AnswerWriter(tokenizer, each, stops, index=index, whole=True) for index, each in enumerate(parts)]
        request.tally.num_prompt_tokens = len(prompt_ids)
        if request.echo and params.prompt_logprobs is None:
            for index in range(params.n):
                yield PromptTokens(_echoed(tokenizer, prompt_ids, request.echo_from), index=index)
        async with aclosing(outputs):
            async for output in outputs:
                writer = writers[output.index]
                if writer.ended:
                    continue
                self._check_ending(output)
                if output.prompt_logprobs is not None:
                    for index in range(params.n):
                        yield self._prompt_tokens(prompt_ids, output.prompt_logprobs, request.echo_from, index)
                if request.sampling.max_tokens == 0:
                    yield Finished("length", len(prompt_ids), 0, output.index)
                    continue
                events = writer.feed(output)
                request.tally.num_completion_tokens = sum(each.num_tokens for each in writers)
                for event in events:
                    assert isinstance(event, TextDelta)
                    yield event
                if writer.ended:
                    if output.finish_reason is None:
                        self._engine.end_answer(output)
                    yield writer.finished(len(prompt_ids))

    def _prompt_tokens(
        self, prompt_ids: Sequence[int], logprobs: PromptLogprobs, start: int, index: int
    ) -> PromptTokens:
        assert self._tokenizer is not None
        first = () if start else (named(prompt_ids[0], None, self._tokenizer),)
        rest = [scored(each, self._tokenizer) for each in logprobs if each is not None]
        return PromptTokens(_echoed(self._tokenizer, prompt_ids, start), (*first, *rest), index)

    def _check_ending(self, output: StepOutput) -> None:
        if output.finish_reason == "failed":
            raise UnavailableError(f"{self._model.id} computed values that are not numbers. Ask again.")
        if output.finish_reason == "grammar":
            raise InputError(
                "Keeping to the schema or grammar took more work than a step may. Make it simpler: bound what "
                "repeats, and leave out patterns within patterns."
            )


def _echoed(tokenizer: ChatTokenizer, ids: Sequence[int], start: int) -> str:
    """The text of a prompt from a token on; only at its very beginning may a vocabulary drop a space."""
    if not start:
        return tokenizer.decode(ids)
    return b"".join(map(tokenizer.token_bytes, ids[start:])).decode("utf-8", errors="replace")


def _grammar(request: ChatRequest, tokenizer: ChatTokenizer) -> Grammar | None:
    """What the answer must be: a demanded call of a tool, JSON, or anything."""
    if request.tool_choice.mode == "required":
        return _demanded_call(request, tokenizer)
    wanted = request.response_format
    if wanted.kind == "json_object":
        return object_grammar()
    if wanted.kind == "json_schema":
        return schema_grammar(wanted.schema)
    return _possible_calls(request, tokenizer)


def _possible_calls(request: ChatRequest, tokenizer: ChatTokenizer) -> Grammar | None:
    """What calls must be, if the model makes any; nothing for templates that write them as a list."""
    call, arguments = tokenizer.control_id(TOOL_CALLS), tokenizer.control_id(ARGS)
    tools, choice = request.conversation.tools, request.tool_choice
    if not tools or choice.mode == "none" or call is None or arguments is None:
        return None
    return calls_grammar(
        tools, call_id=call, arguments_id=arguments, required=False, name=None, parallel=choice.parallel
    )


def _demanded_call(request: ChatRequest, tokenizer: ChatTokenizer) -> Grammar:
    choice, tools = request.tool_choice, request.conversation.tools
    names = [tool.name for tool in tools]
    if not names or (choice.name is not None and choice.name not in names):
        what = f"the tool {choice.name!r}" if choice.name is not None else "a call of a tool"
        raise InputError(f"tool_choice demands {what}; the request offers: {', '.join(names) or 'none'}.")
    call, arguments = tokenizer.control_id(TOOL_CALLS), tokenizer.control_id(ARGS)
    if call is None or arguments is None:
        raise UnsupportedError(f"{request.model} cannot be made to call a tool. Leave the choice to it.", "tool_choice")
    return calls_grammar(
        tools, call_id=call, arguments_id=arguments, required=True, name=choice.name, parallel=choice.parallel
    )


def _without_calls(params: SamplingParams, tokenizer: ChatTokenizer) -> SamplingParams:
    call = tokenizer.control_id(TOOL_CALLS)
    others = tuple((token, bias) for token, bias in params.logit_bias if token != call)
    return params if call is None else replace(params, logit_bias=(*others, (call, FORBIDDEN)))
