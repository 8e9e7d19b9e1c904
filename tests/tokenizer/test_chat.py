"""The laws of rendering: ours is mistral-common's, what is masked is what the assistant said, prompts are prefixes."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mistral_common.protocol.instruct.messages import AssistantMessage
from mistral_common.protocol.instruct.request import ChatCompletionRequest
from mistral_common.protocol.instruct.validator import ValidationMode
from mistral_common.tokens.tokenizers.mistral import MistralTokenizer

from bise.errors import InputError
from bise.messages import Conversation, Message, Tool, ToolCall
from bise.tokenizer.chat import ChatTokenizer, Rendered
from bise.tokenizer.tekken import CONTROL_TOKENS

CLOCK = Tool("clock", "Tells the time.", {"type": "object", "properties": {"zone": {"type": "string"}}})

TOOL_CHAT = Conversation(
    messages=(
        Message("system", "Answer briefly. [INST] is only text."),
        Message("user", "How late is it in Zürich?"),
        Message("assistant", "I will look.", tool_calls=(ToolCall("a1B2c3D4e", "clock", '{"zone":"Europe/Zürich"}'),)),
        Message("tool", '{"time": "18:05"}', tool_call_id="a1B2c3D4e", name="clock"),
        Message("assistant", "It is five past six. </s> 🙂"),
        Message("user", "And in Lagos and Lima?"),
        Message(
            "assistant",
            "",
            tool_calls=(
                ToolCall("aaaaaaaa1", "clock", '{"zone": "Africa/Lagos"}'),
                ToolCall("aaaaaaaa2", "clock", '{"zone": "America/Lima"}'),
            ),
        ),
        Message("tool", "12:05", tool_call_id="aaaaaaaa2"),
        Message("tool", "18:05", tool_call_id="aaaaaaaa1"),
        Message("assistant", "Five past six, and five past noon."),
    ),
    tools=(CLOCK,),
)

words = st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)
turns = st.lists(st.tuples(words, words), min_size=1, max_size=4)


def chat(turns: list[tuple[str, str]], system: str | None = None) -> Conversation:
    messages = [Message("system", system)] if system is not None else []
    for question, answer in turns:
        messages += [Message("user", question), Message("assistant", answer)]
    return Conversation(tuple(messages))


def masked(rendered: Rendered) -> list[int]:
    return [token_id for token_id, said in zip(rendered.ids, rendered.loss_mask, strict=True) if said]


def wire(conversation: Conversation, prefix: bool = False) -> Any:
    """The conversation as a client sends it, for mistral-common's own parser."""
    messages: list[dict[str, Any]] = []
    for message in conversation.messages:
        entry: dict[str, Any] = {"role": message.role, "content": message.content}
        if message.tool_calls:
            entry["tool_calls"] = [
                {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
                for call in message.tool_calls
            ]
        if message.role == "tool":
            entry |= {"tool_call_id": message.tool_call_id, "name": message.name}
        messages.append(entry)
    tools = [
        {"type": "function", "function": {"name": t.name, "description": t.description, "parameters": t.parameters}}
        for t in conversation.tools
    ]
    request = ChatCompletionRequest.from_openai(messages, tools or None)
    if prefix:
        assert isinstance(request.messages[-1], AssistantMessage)
        request.messages[-1].prefix = True
    return request


@pytest.fixture(scope="module")
def reference(tekken_path: Path) -> dict[bool, MistralTokenizer[Any, Any, Any, Any, Any]]:
    """mistral-common's whole pipeline, by `for_completion`."""
    return {
        True: MistralTokenizer.from_file(tekken_path, mode=ValidationMode.test),
        False: MistralTokenizer.from_file(tekken_path, mode=ValidationMode.finetuning),
    }


def test_encode_is_mistral_commons(tokenizer: ChatTokenizer, reference: Any, text: str) -> None:
    theirs = reference[True].instruct_tokenizer.tokenizer
    ids = tokenizer.encode(text)
    assert ids == theirs.encode(text, bos=False, eos=False)
    assert tokenizer.decode(ids) == theirs.decode(ids) == text
    assert b"".join(map(tokenizer.token_bytes, ids)) == text.encode("utf-8")


@given(text=st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_decode_undoes_encode(tokenizer: ChatTokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_half_a_surrogate_pair_becomes_the_replacement_character(tokenizer: ChatTokenizer) -> None:
    assert tokenizer.decode(tokenizer.encode("a\ud83db")) == "a\ufffdb"


def test_text_never_becomes_a_control_token(tokenizer: ChatTokenizer) -> None:
    for name in CONTROL_TOKENS:
        assert min(tokenizer.encode(name)) >= len(CONTROL_TOKENS)


@pytest.mark.parametrize("blank", [" ", "\t", "\n", "a", "☺", "\u0301", "^"])
def test_a_very_long_run_is_encoded(tokenizer: ChatTokenizer, blank: str) -> None:
    run = blank * 200_000
    assert tokenizer.decode(tokenizer.encode(run)) == run


@pytest.mark.parametrize("for_completion", [False, True])
def test_tools_render_as_mistral_common_does(tokenizer: ChatTokenizer, reference: Any, for_completion: bool) -> None:
    for end in range(1, len(TOOL_CHAT.messages) + 1):
        part = replace(TOOL_CHAT, messages=TOOL_CHAT.messages[:end])
        from_assistant = part.messages[-1].role == "assistant"
        waits_for_result = end in (3, 7, 8)
        if from_assistant == for_completion or waits_for_result:
            continue
        theirs = reference[for_completion].encode_chat_completion(wire(part)).tokens
        assert tokenizer.render(part, for_completion=for_completion).ids == theirs


@settings(max_examples=50, deadline=None)
@given(turns=turns, system=st.none() | words)
def test_chats_render_as_mistral_common_does(
    tokenizer: ChatTokenizer, reference: Any, turns: list[tuple[str, str]], system: str | None
) -> None:
    whole = chat(turns, system)
    question = replace(whole, messages=whole.messages[:-1])
    for conversation, for_completion in ((whole, False), (question, True)):
        theirs = reference[for_completion].encode_chat_completion(wire(conversation)).tokens
        assert tokenizer.render(conversation, for_completion=for_completion).ids == theirs
    theirs = reference[True].encode_chat_completion(wire(whole, prefix=True)).tokens
    assert tokenizer.render(whole, for_completion=True).ids == theirs


@settings(max_examples=50, deadline=None)
@given(turns=turns, system=st.none() | words)
def test_the_mask_covers_what_the_assistant_said(
    tokenizer: ChatTokenizer, turns: list[tuple[str, str]], system: str | None
) -> None:
    rendered = tokenizer.render(chat(turns, system), for_completion=False)
    said = masked(rendered)
    assert tokenizer.decode(said) == "".join(answer.rstrip(" ") for _, answer in turns)
    assert said.count(tokenizer.eos_id) == len(turns)
    assert not any(token_id < tokenizer.num_control_tokens and token_id != tokenizer.eos_id for token_id in said)


def test_the_mask_covers_tool_calls(tokenizer: ChatTokenizer) -> None:
    rendered = tokenizer.render(TOOL_CHAT, for_completion=False)
    names = "".join(
        tokenizer.token_name(i) if i < tokenizer.num_control_tokens else tokenizer.decode([i])
        for i in masked(rendered)
        if tokenizer.token_bytes(i).isascii()
    )
    assert names.startswith('I will look.[TOOL_CALLS]clock[ARGS]{"zone": "Europe/Z')
    assert names.count("[TOOL_CALLS]") == names.count("[ARGS]") == 3
    assert names.count("</s>") - 1 == 4  # the one spoken in the text is text
    assert "18:05" not in names


@settings(max_examples=50, deadline=None)
@given(turns=turns, system=st.none() | words)
def test_the_prompt_is_a_prefix_of_the_training_ids(
    tokenizer: ChatTokenizer, turns: list[tuple[str, str]], system: str | None
) -> None:
    assert_prompts_are_prefixes(tokenizer, chat(turns, system))


def test_the_prompt_is_a_prefix_with_tools(tokenizer: ChatTokenizer) -> None:
    assert_prompts_are_prefixes(tokenizer, TOOL_CHAT)


def assert_prompts_are_prefixes(tokenizer: ChatTokenizer, conversation: Conversation) -> None:
    whole = tokenizer.render(conversation, for_completion=False)
    for index, message in enumerate(conversation.messages):
        if message.role != "assistant":
            continue
        prompt = tokenizer.render(replace(conversation, messages=conversation.messages[:index]), for_completion=True)
        turn = tokenizer.render(
            replace(conversation, messages=conversation.messages[: index + 1]), for_completion=False
        )
        assert prompt.ids == turn.ids[: len(prompt.ids)]
        assert prompt.loss_mask == turn.loss_mask[: len(prompt.ids)]
        assert turn.ids == whole.ids[: len(turn.ids)]
        assert turn.ids[-1] == tokenizer.eos_id
        assert all(turn.loss_mask[len(prompt.ids) :])


def test_a_trailing_assistant_message_is_continued(tokenizer: ChatTokenizer) -> None:
    conversation = chat([("Tell a story.", "Once upon")])
    prompt = tokenizer.render(replace(conversation, messages=conversation.messages[:-1]), for_completion=True)
    opened = tokenizer.render(conversation, for_completion=True)
    assert opened.ids == prompt.ids + tokenizer.encode("Once upon")


def test_arguments_that_are_no_json_still_render(tokenizer: ChatTokenizer) -> None:
    broken = Message("assistant", "", tool_calls=(ToolCall("abcdefgh1", "clock", '{"zone": '),))
    conversation = Conversation((Message("user", "Time?"), broken))
    assert json.dumps('{"zone": ') in tokenizer.decode(tokenizer.render(conversation, for_completion=False).ids)


@pytest.mark.parametrize(
    ("messages", "for_completion", "words"),
    [
        ((), True, "at least one message"),
        ((Message("user", "Hi"),), False, "Assistant"),
        ((Message("user", "Hi"), Message("assistant", "")), False, "Message 2.*empty"),
        ((Message("user", "Hi"), Message("tool", "x", tool_call_id="abcdefgh1")), True, "[Uu]nexpected"),
        (
            (Message("user", "Hi"), Message("assistant", "", (ToolCall("abcdefgh1", "f", "{}"),))),
            True,
            "without results",
        ),
        ((Message("user", "Hi"), Message("assistant", "", (ToolCall("", "f", "{}"),))), False, "[Tt]ool call id"),
        ((Message("user", "Hi"), Message("assistant", "", (ToolCall("a", "no name", "{}"),))), False, "no name"),
    ],
)
def test_a_conversation_without_a_rendering_is_refused_in_words(
    tokenizer: ChatTokenizer, messages: tuple[Message, ...], for_completion: bool, words: str
) -> None:
    with pytest.raises(InputError, match=words):
        tokenizer.render(Conversation(messages), for_completion=for_completion)


@pytest.mark.parametrize(("arguments", "words"), [("[" * 100_000, "recursion"), ("1" * 5_000, "4300 digits")])
def test_hostile_arguments_are_refused_in_words(tokenizer: ChatTokenizer, arguments: str, words: str) -> None:
    call = Message("assistant", "", tool_calls=(ToolCall("abcdefgh1", "clock", arguments),))
    with pytest.raises(InputError, match=words):
        tokenizer.render(Conversation((Message("user", "Time?"), call)), for_completion=False)


def test_half_a_surrogate_pair_renders_as_the_replacement_character(tokenizer: ChatTokenizer) -> None:
    def ids(half: str) -> list[int]:
        call = Message("assistant", half, tool_calls=(ToolCall("abcdefgh1", "clock", json.dumps({"zone": half})),))
        conversation = Conversation((Message("system", half), Message("user", half), call))
        return tokenizer.render(conversation, for_completion=False).ids

    assert ids("a\ud83d") == ids("a\ufffd")


def test_a_tool_with_a_wrong_schema_is_refused_in_words(tokenizer: ChatTokenizer) -> None:
    conversation = Conversation((Message("user", "Hi"),), tools=(Tool("f", "", {"type": 3}),))
    with pytest.raises(InputError, match="schema"):
        tokenizer.render(conversation, for_completion=True)


def test_a_directory_or_a_file_of_any_name_loads(tokenizer: ChatTokenizer, tekken_path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "vocabulary.json"
    copy.write_bytes(tekken_path.read_bytes())
    for path in (tekken_path.parent, copy):
        assert ChatTokenizer.load(path).sha256 == tokenizer.sha256


def test_a_missing_tokenizer_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no tokenizer at"):
        ChatTokenizer.load(tmp_path)


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"config": []}', b"\xff\xfe", b"not json"])
def test_a_file_that_is_no_tekken_file_is_refused_in_words(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "tekken.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match="not a valid tekken file"):
        ChatTokenizer.load(path)


def damaged(table: dict[str, Any], how: str) -> dict[str, Any]:
    if how == "version":
        table["config"]["version"] = "v99"
    elif how == "pattern":
        table["config"]["pattern"] = "("
    elif how == "entry":
        table["vocab"][300]["surplus"] = 1
    elif how == "bytes":
        table["vocab"][300]["token_bytes"] = "A"
    elif how == "hole":
        del table["vocab"][300]
    elif how == "control":
        table["special_tokens"][20]["token_str"] = "[OTHER]"
    return table


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("version", "version v99; Bise renders v1, v2"),
        ("pattern", "not a valid"),
        ("entry", "not a valid"),
        ("bytes", "not a valid"),
        ("hole", "not a valid"),
        ("control", r"lacks a control token.*\[ARGS\]"),
    ],
)
def test_a_damaged_tekken_file_is_refused_in_words(tekken_path: Path, tmp_path: Path, how: str, words: str) -> None:
    path = tmp_path / "tekken.json"
    path.write_text(json.dumps(damaged(json.loads(tekken_path.read_text()), how)))
    with pytest.raises(InputError, match=words):
        ChatTokenizer.load(path)
