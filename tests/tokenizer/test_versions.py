"""Every vocabulary and version of templates that mistral-common has: our ids are its ids."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import mistral_common
import pytest
from mistral_common.exceptions import MistralCommonException
from mistral_common.protocol.instruct.validator import ValidationMode
from mistral_common.tokens.tokenizers.mistral import MistralTokenizer

from bise.errors import InputError
from bise.messages import Conversation, Message, ToolCall
from bise.tokenizer.chat import ChatTokenizer
from tests.tokenizer.conftest import HOSTILE, TEXTS
from tests.tokenizer.test_chat import TOOL_CHAT, chat, wire

DATA = Path(mistral_common.__file__).parent / "data"
OFFICIAL = [
    "tokenizer.model.v1",
    "mistral_instruct_tokenizer_240216.model.v2",
    "mistral_instruct_tokenizer_240323.model.v3",
    "mistral_instruct_tokenizer_241114.model.v7",
    "mistral_instruct_tokenizer_241114.model.v7m1",
    "tekken_240718.json",
    "tekken_240911.json",
]
OWN = ["v3", "v7", "v11", "v13", "v15"]
SETTINGS = {"reasoning_effort": {"type": "enum", "values": ["none", "high"], "accepts_none": True, "default": "none"}}
Pair = tuple[ChatTokenizer, dict[bool, Any]]


@pytest.fixture(scope="module", params=[*OFFICIAL, *OWN])
def pair(request: pytest.FixtureRequest, tekken_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """Our tokenizer and mistral-common's, the latter by `for_completion`."""
    path = DATA / request.param
    if request.param in OWN:
        path = tmp_path_factory.mktemp(request.param) / "tekken.json"
        path.write_text(json.dumps(with_version(json.loads(tekken_path.read_text()), request.param)))
    modes = {True: ValidationMode.serving, False: ValidationMode.finetuning}
    return ChatTokenizer.load(path), {key: MistralTokenizer.from_file(path, mode=mode) for key, mode in modes.items()}


def with_version(table: dict[str, Any], version: str) -> dict[str, Any]:
    table["config"]["version"] = version
    if version == "v15":
        table["model_settings_builder"] = SETTINGS
        names = ["[MODEL_SETTINGS]", "[/MODEL_SETTINGS]"]
        for entry, name in zip(table["special_tokens"][-2:], names, strict=True):
            entry["token_str"] = name
    return table


@pytest.mark.slow
def test_text_is_cut_as_mistral_common_cuts_it(pair: Pair) -> None:
    ours, theirs = pair[0], pair[1][True].instruct_tokenizer.tokenizer
    assert ours.vocab_size == theirs.n_words
    assert (ours.bos_id, ours.stop_ids) == (theirs.bos_id, (theirs.eos_id,))
    for text in [*TEXTS, *HOSTILE]:
        ids = ours.encode(text)
        assert ids == theirs.encode(text, bos=False, eos=False)
        assert ours.decode(ids) == theirs.decode(ids)
        assert not set(ids) & {token for token in range(ours.vocab_size) if ours.token_bytes(token) == b""}


@pytest.mark.slow
def test_conversations_have_mistral_commons_ids(pair: Pair) -> None:
    ours, theirs = pair
    plain = chat([("How late is it? </s>", "Five [INST] o'clock. "), ("And now?", "Six.")], "Be brief.")
    compared = 0
    for conversation in (plain, TOOL_CHAT):
        for end in range(1, len(conversation.messages) + 1):
            part = replace(conversation, messages=conversation.messages[:end])
            for for_completion in (True, False):
                expected = mistral_commons(theirs[for_completion], part, for_completion)
                if expected is None:
                    with pytest.raises(InputError):
                        ours.render(part, for_completion=for_completion)
                else:
                    rendered = ours.render(part, for_completion=for_completion)
                    assert rendered.ids == expected
                    assert any(rendered.loss_mask) == (part.messages[-1].role == "assistant" or end > 2)
                    compared += 1
    assert compared >= 6


def mistral_commons(reference: Any, part: Conversation, for_completion: bool) -> list[int] | None:
    """Its ids, or None where it has none for such a conversation."""
    last = part.messages[-1]
    if for_completion and last.tool_calls:
        return None
    try:
        request = wire(part, prefix=for_completion and last.role == "assistant")
        request.model = "any"
        return list(reference.encode_chat_completion(request).tokens)
    except (MistralCommonException, ValueError):
        return None


@pytest.mark.parametrize("version", ["v3", "v7", "v11"])
def test_calls_with_any_id_are_rendered(tekken_path: Path, tmp_path: Path, version: str) -> None:
    path = tmp_path / "tekken.json"
    path.write_text(json.dumps(with_version(json.loads(tekken_path.read_text()), version)))
    call = ToolCall("call_0123456789abcdef", "clock", "{}")
    messages = (
        Message("user", "Time?"),
        Message("assistant", "", tool_calls=(call,)),
        Message("tool", "18:05", tool_call_id=call.id, name="clock"),
    )
    assert ChatTokenizer.load(path).render(Conversation(messages, TOOL_CHAT.tools), for_completion=True).ids
