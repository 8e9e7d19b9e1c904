"""Another server as a backend: the same answers through it, its faults as sentences, nothing lost and nothing repeated."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import JSONResponse

from bise.errors import BiseError, InputError, NotFoundError, UnavailableError
from bise.messages import Conversation, Message, Tool, ToolCall
from bise.server.backend import (
    ChatRequest,
    CompletionRequest,
    EmbeddingRequest,
    Finished,
    ResponseFormat,
    Sampling,
    ScoredToken,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    ToolChoice,
    UnsupportedError,
)
from bise.server.errors import ApiError
from bise.server.gateway import Gateway
from bise.server.remote import RemoteBackend
from bise.server.upstream import Upstream, chat_body, read_upstreams
from tests.scripted_backend import MODEL, WORDS, ScriptedBackend, until
from tests.server.conftest import Served
from tests.server.upstreams import FakeUpstream, content, ending, upstream, usage

ASK = ChatRequest("ours", Conversation((Message("user", "Hello"),)), Sampling(temperature=0.5, max_tokens=9))
TOOLS = (Tool("clock", "Tells the time.", {"type": "object"}),)


@asynccontextmanager
async def remote(fake: FakeUpstream, **changes: Any) -> AsyncIterator[RemoteBackend]:
    async with upstream(fake) as url:
        fields = {"name": "lab", "url": url, "kind": "vllm", "models": {"ours": "theirs"}} | changes
        backend = RemoteBackend(Upstream(**fields))
        await backend.start()
        yield backend
        await backend.close()


async def events(backend: RemoteBackend, request: ChatRequest = ASK) -> list[Any]:
    return [event async for event in await backend.chat(request)]


async def test_an_answer_comes_through_with_its_counts() -> None:
    fake = FakeUpstream()
    async with remote(fake, key="secret") as backend:
        assert await events(backend) == [TextDelta("Good"), TextDelta("bye"), Finished("stop", 7, 2)]
        (model,) = backend.models()
        assert (model.id, model.context_length, model.owned_by) == ("ours", 128, "lab")
    (body,) = fake.bodies
    assert (body["model"], body["temperature"], body["max_tokens"]) == ("theirs", 0.5, 9)
    assert body["messages"] == [{"role": "user", "content": "Hello"}]
    assert fake.keys == ["Bearer secret"]


async def test_answers_one_after_the_other_come_through_one_connection() -> None:
    fake = FakeUpstream()
    async with remote(fake) as backend:
        for _ in range(3):
            assert (await events(backend))[-1] == Finished("stop", 7, 2)
    assert len(fake.connections) == 1


@pytest.mark.parametrize("kind", ["vllm", "mistral", "openai", "llama-server", "ollama", "bise"])
def test_every_kind_of_server_is_spoken_to_in_its_own_words(kind: Any) -> None:
    sampling = Sampling(seed=5, max_tokens=9, stop=("x",), presence_penalty=0.5)
    conversation = Conversation(ASK.conversation.messages, TOOLS)
    request = ChatRequest("ours", conversation, sampling, response_format=ResponseFormat("json_schema", {"a": 1}, "s"))
    body = chat_body(request, Upstream("lab", "http://x/v1", kind), "theirs")
    assert body["random_seed" if kind == "mistral" else "seed"] == 5
    assert body["max_completion_tokens" if kind == "openai" else "max_tokens"] == 9
    assert ("stream_options" in body) == (kind != "mistral")
    assert body["response_format"]["json_schema"] == {"name": "s", "schema": {"a": 1}, "strict": True}
    assert body["tools"][0]["function"]["name"] == "clock"
    demanding = replace(request, tool_choice=ToolChoice("required"))
    if kind == "ollama":
        with pytest.raises(UnsupportedError, match="tool_choice is not possible") as error:
            chat_body(demanding, Upstream("lab", "http://x/v1", kind), "theirs")
        assert error.value.field == "tool_choice"
    else:
        said = chat_body(demanding, Upstream("lab", "http://x/v1", kind), "theirs")["tool_choice"]
        assert said == ("any" if kind == "mistral" else "required")


def test_a_beginning_is_said_as_each_kind_understands_it() -> None:
    conversation = Conversation((*ASK.conversation.messages, Message("assistant", "Well")))
    request = replace(ASK, conversation=conversation)

    def body(kind: Any) -> dict[str, Any]:
        return chat_body(request, Upstream("lab", "http://x/v1", kind), "theirs")

    assert body("mistral")["messages"][-1] == {"role": "assistant", "content": "Well", "prefix": True}
    assert (body("vllm")["continue_final_message"], body("vllm")["add_generation_prompt"]) == (True, False)
    assert body("llama-server")["messages"][-1] == {"role": "assistant", "content": "Well"}
    with pytest.raises(UnsupportedError, match="prefix"):
        body("openai")


def test_what_a_server_lacks_is_refused_by_name() -> None:
    for name, value in (("top_k", 5), ("min_p", 0.1), ("repetition_penalty", 1.2), ("min_tokens", 2)):
        request = replace(ASK, sampling=Sampling(**{name: value}))
        with pytest.raises(UnsupportedError, match=f"{name} is not possible") as error:
            chat_body(request, Upstream("lab", "http://x/v1", "openai"), "theirs")
        assert error.value.field == name
    every = Sampling(top_k=5, min_p=0.1, repetition_penalty=1.2, logit_bias=((7, 1.0),), n=2, logprobs=3)
    body = chat_body(replace(ASK, sampling=every), Upstream("lab", "http://x/v1", "llama-server"), "theirs")
    assert (body["repeat_penalty"], body["logit_bias"], body["top_logprobs"]) == (1.2, {"7": 1.0}, 3)


async def test_a_beginning_that_is_repeated_is_cut_off() -> None:
    fake = FakeUpstream([content("We"), content("ll: "), content("hi"), ending(), usage(5, 3)])
    conversation = Conversation((*ASK.conversation.messages, Message("assistant", "Well: ")))
    async with remote(fake, kind="mistral") as backend:
        told = await events(backend, replace(ASK, conversation=conversation))
    assert "".join(event.text for event in told[:-1]) == "hi"


async def test_calls_of_every_style_become_ours() -> None:
    call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "clock", "arguments": ""}}
    piece = {"index": 0, "function": {"arguments": '{"a": 1}'}}
    # Ollama gives each call the index 0, and arguments whole.
    second = {"index": 0, "id": "abcdefgh9", "function": {"name": "sun", "arguments": {"b": 2}}}
    deltas = [{"delta": {"tool_calls": [each]}, "index": 0} for each in (call, piece, second)]
    fake = FakeUpstream([*({"choices": [delta]} for delta in deltas), ending("stop"), usage(5, 3)])
    async with remote(fake) as backend:
        first, arguments, other, others_arguments, end = await events(backend)
    assert isinstance(first, ToolCallDelta)
    assert (first.position, first.name, len(first.id)) == (0, "clock", 9)
    assert (arguments.position, arguments.arguments) == (0, '{"a": 1}')
    assert (other.position, other.id, other.name) == (1, "abcdefgh9", "sun")
    assert json.loads(others_arguments.arguments) == {"b": 2}
    assert end.finish_reason == "tool_calls"


async def test_thoughts_and_log_probabilities_of_every_style_become_ours() -> None:
    scored = {
        "content": [{"token": "a", "logprob": -1.0, "bytes": [97], "top_logprobs": [{"token": "b", "logprob": -2}]}]
    }
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]}
    fake = FakeUpstream(
        [
            {"choices": [{"index": 0, "delta": {"reasoning": "So"}}]},
            {"choices": [{"index": 0, "delta": {"content": [thought, {"type": "text", "text": "x"}]}}]},
            content("a", logprobs=scored),
            ending(),
            usage(5, 3),
        ]
    )
    async with remote(fake) as backend:
        told = await events(backend)
    assert told[:3] == [ThinkingDelta("So"), ThinkingDelta("Hm"), TextDelta("x")]
    assert told[3] == TextDelta("a", tokens=(ScoredToken("a", b"a", -1.0, (ScoredToken("b", b"b", -2),)),))


@pytest.mark.parametrize("status", [429, 502, 503, 504])
async def test_a_request_is_tried_again_before_the_first_byte(status: int) -> None:
    fake = FakeUpstream(refusals=[JSONResponse({}, status, headers={"retry-after": "0"})] * 2)
    async with remote(fake) as backend:
        assert (await events(backend))[-1] == Finished("stop", 7, 2)
    assert len(fake.bodies) == 3


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (400, InputError, "lab answered 400: too long"),
        (422, InputError, "too long"),
        (401, UnavailableError, "refuses this server's key"),
        (404, NotFoundError, "too long"),
        (500, UnavailableError, "lab answered 500"),
    ],
)
async def test_a_refusal_is_told_once_and_not_tried_again(status: int, kind: type[BiseError], words: str) -> None:
    fake = FakeUpstream(refusals=[JSONResponse({"error": {"message": "too long"}}, status)])
    async with remote(fake) as backend:
        with pytest.raises(kind, match=words):
            await backend.chat(ASK)
    assert len(fake.bodies) == 1


async def test_too_many_requests_stay_too_many_requests() -> None:
    fake = FakeUpstream(refusals=[JSONResponse({"message": "slow down"}, 429, headers={"retry-after": "7"})])
    async with remote(fake, retries=0) as backend:
        with pytest.raises(ApiError, match="slow down") as error:
            await backend.chat(ASK)
    assert (error.value.status, error.value.headers["retry-after"]) == (429, "7")


@pytest.mark.parametrize(
    ("chunks", "ends", "words"),
    [
        ([content("a")], False, "broke off"),
        ([content("a")], True, "broke off"),
        ([content("a"), {"error": {"message": "out of memory"}}], True, "out of memory"),
        ([content("a"), "{not json"], True, "does not answer as it should"),
        ([content("a"), "[]"], True, "does not answer as it should"),
        ([content("a"), {"choices": [{"delta": {"tool_calls": [5]}}]}], True, "does not answer as it should"),
        ([content("a"), ending("error")], True, "failed in the middle"),
    ],
)
async def test_an_answer_that_goes_wrong_in_the_middle_is_not_asked_for_again(
    chunks: list[Any], ends: bool, words: str
) -> None:
    fake, told = FakeUpstream(chunks, ends=ends), []
    async with remote(fake) as backend:
        with pytest.raises(UnavailableError, match=words):  # noqa: PT012
            async for event in await backend.chat(ASK):
                told.append(event)  # noqa: PERF401
    assert told == [TextDelta("a")]
    assert len(fake.bodies) == 1


async def test_closing_an_answer_lets_the_other_server_know() -> None:
    fake = FakeUpstream(pause=asyncio.Event())
    async with remote(fake) as backend:
        async with aclosing(await backend.chat(ASK)) as answer:
            assert await anext(answer) == TextDelta("Good")
            assert fake.num_streaming == 1
        await until(lambda: fake.num_streaming == 0)
        fake.pause = None
        assert (await events(backend))[-1] == Finished("stop", 7, 2)


async def test_a_server_that_is_away_is_a_sentence_without_the_key(caplog: pytest.LogCaptureFixture) -> None:
    where = Upstream("lab", "http://127.0.0.1:9/v1", key="sk-secret", models={"ours": "theirs"}, retries=1)
    assert "sk-secret" not in repr(where)
    backend = RemoteBackend(where)
    with caplog.at_level(logging.DEBUG):
        await backend.start()  # the file says which models there are
        with pytest.raises(UnavailableError, match="lab does not answer"):
            await backend.chat(ASK)
        assert not backend.ready
        await backend.close()
    assert "sk-secret" not in caplog.text
    silent = RemoteBackend(replace(where, models={}))
    with pytest.raises(UnavailableError):
        await silent.start()
    await silent.close()


async def test_the_next_server_is_asked_when_one_is_away() -> None:
    away = RemoteBackend(Upstream("away", "http://127.0.0.1:9/v1", models={"ours": "theirs"}, retries=0))
    await away.start()
    async with remote(FakeUpstream()) as there:
        gateway = Gateway((ScriptedBackend(), away, there))
        assert [model.id for model in gateway.models()] == [MODEL.id, "ours"]
        answer = [event async for event in await gateway.chat(ASK)]
        assert answer[-1] == Finished("stop", 7, 2)
        said = [event async for event in await gateway.chat(replace(ASK, model=MODEL.id))]
        assert "".join(event.text for event in said[:-1]) == "".join(WORDS)
        with pytest.raises(NotFoundError, match="scripted, ours"):
            await gateway.chat(replace(ASK, model="none"))
        await away.close()


async def test_our_own_server_is_an_upstream(served: Served) -> None:
    """What another of our servers answers is what its backend said, with everything that was asked."""
    where = Upstream("twin", served.root + "/v1", "bise", key=served.key)
    backend = RemoteBackend(where)
    await backend.start()
    sampling = Sampling(0.5, 0.9, 5, 0.1, 4, 1, 6, ("zzz",), 0.5, -0.5, 1.1, ((7, 2.0),), 1, 0)
    conversation = Conversation(
        (
            Message("user", "Late?"),
            Message("assistant", "", (ToolCall("a1B2c3D4e", "clock", '{"a": 1}'),)),
            Message("tool", "12:05", tool_call_id="a1B2c3D4e", name="clock"),
        ),
        TOOLS,
    )
    request = ChatRequest(MODEL.id, conversation, sampling, ToolChoice("required", "clock", False))
    told = await events(backend, request)
    assert "".join(event.text for event in told[:-1]) == "".join(WORDS[:4])
    assert replace(served.backend.requests[-1], tenant="") == request
    prefixed = Conversation((Message("user", "Hi"), Message("assistant", "Well: ")))
    told = await events(backend, ChatRequest(MODEL.id, prefixed))
    assert "".join(event.text for event in told[:-1]) == "".join(WORDS)
    texts = [e async for e in await backend.complete(CompletionRequest(MODEL.id, (1, 2), Sampling(max_tokens=2)))]
    assert "".join(event.text for event in texts[:-1]) == "Bonjour"
    middle = [e async for e in await backend.complete(CompletionRequest(MODEL.id, "a", suffix="b"))]
    assert "".join(event.text for event in middle[:-1]) == "".join(WORDS)
    assert served.backend.completions[-1].suffix == "b"
    echoed = CompletionRequest(MODEL.id, (1, 2, 3), Sampling(max_tokens=2), echo=True, echo_from=2)
    assert [e async for e in await backend.complete(echoed)]
    assert (served.backend.completions[-1].echo, served.backend.completions[-1].echo_from) == (True, 2)
    made = await backend.embed(EmbeddingRequest(MODEL.id, ("x", "y")))
    assert (len(made.vectors), made.num_tokens) == (2, 2)
    assert await backend.count_tokens(MODEL.id, Conversation((Message("user", "one two"),))) == 3
    with pytest.raises(UnsupportedError):
        await backend.tokenizer(MODEL.id)
    await backend.close()


def test_the_file_of_upstreams_is_read_strictly(tmp_path: Path) -> None:
    file = tmp_path / "upstreams.toml"
    (tmp_path / "key").write_text("sk-1\n", encoding="utf-8")
    file.write_text(
        f'[[upstreams]]\nname = "lab"\nurl = "http://x/v1"\nkind = "vllm"\nkey_file = "{tmp_path / "key"}"\n'
        '[upstreams.models]\nsmall = "mistral-small"\n',
        encoding="utf-8",
    )
    (found,) = read_upstreams(file)
    assert (found.name, found.kind, dict(found.models), found.read_key()) == (
        "lab",
        "vllm",
        {"small": "mistral-small"},
        "sk-1",
    )
    for wrong, words in (
        ('url = "http://x"\nkind = "other"', "must be one of"),
        ('url = "ftp://x"', "must begin with http"),
        ('url = "http://x"\nspeed = 1', "unknown key speed"),
        ('url = "http://x"\nkey = "a"\nkey_file = "b"', "give one"),
    ):
        file.write_text(f'[[upstreams]]\nname = "lab"\n{wrong}\n', encoding="utf-8")
        with pytest.raises(InputError, match=words):
            read_upstreams(file)
    file.write_text('[[upstreams]]\nname = "a"\nurl = "http://x"\n' * 2, encoding="utf-8")
    with pytest.raises(InputError, match="same name"):
        read_upstreams(file)
