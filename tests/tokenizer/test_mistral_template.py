"""The templates that go along with exported tokenizers give, in transformers, mistral-common's ids."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from mistral_common.protocol.instruct.validator import ValidationMode
from mistral_common.tokens.tokenizers.mistral import MistralTokenizer

from bise.messages import Conversation, Message, Tool, ToolCall
from bise.tokenizer.convert import hugging_face_files
from bise.tokenizer.exchange import gguf_vocabulary
from bise.tokenizer.mistral_template import mistral_template
from bise.tokenizer.template import Template
from tests.tokenizer.test_chat import CLOCK
from tests.tokenizer.test_convert import in_transformers
from tests.tokenizer.test_hugging_face import wire
from tests.tokenizer.test_versions import DATA, SETTINGS, mistral_commons, with_version

ZONES = Tool("zones", "", {"type": "object", "properties": {}, "required": []})
CALLS = (
    ToolCall("aaaaaaaa1", "clock", '{"zone": "Africa/Lagos"}'),
    ToolCall("aaaaaaaa2", "clock", '{"zone": "Zürich \\"Nord\\""}'),
)
CONVERSATIONS = {
    "a question": Conversation((Message("user", "How late is it?"),)),
    "turns": Conversation(
        (
            Message("system", "Be brief."),
            Message("user", "How late\nis it?"),
            Message("assistant", "Five o'clock, l'après-midi. "),
            Message("user", "And now?"),
            Message("assistant", "Six."),
            Message("user", " Why? "),
        )
    ),
    "questions in a row": Conversation(
        (
            Message("user", "Hello."),
            Message("assistant", "Yes?"),
            Message("user", "One thing."),
            Message("user", "Now."),
        )
    ),
    "tools": Conversation((Message("system", "Look first."), Message("user", "How late is it?")), (CLOCK, ZONES)),
    "a result": Conversation(
        (
            Message("user", "How late is it?"),
            Message("assistant", "", tool_calls=CALLS[:1]),
            Message("tool", '{"time": "18:05", "exact": [true, 1.5]}', tool_call_id="aaaaaaaa1", name="clock"),
        ),
        (CLOCK,),
    ),
    "calls, and another question": Conversation(
        (
            Message("user", "How late is it?"),
            Message("assistant", "", tool_calls=CALLS),
            Message("tool", '18:05 "sharp"', tool_call_id="aaaaaaaa1", name="clock"),
            Message("tool", "17", tool_call_id="aaaaaaaa2", name="clock"),
            Message("assistant", "Five past six, and five."),
            Message("user", "And in Lima?"),
        ),
        (CLOCK, ZONES),
    ),
    "words before a call": Conversation(
        (
            Message("user", "How late is it?"),
            Message("assistant", "I look.", tool_calls=CALLS[:1]),
            Message("tool", "null", tool_call_id="aaaaaaaa1", name="clock"),
        ),
        (CLOCK,),
    ),
}
REFUSED = {  # by mistral-common, and by the template
    "v1": {"a result", "calls, and another question", "words before a call"},
    "v2": {"words before a call"},
    "v3": {"words before a call"},
}


def directory_of(version: str, kind: str, tmp_path: Path, tekken_path: Path) -> Path:
    directory = tmp_path / "model"
    directory.mkdir()
    if kind == "tekken":
        (directory / "tekken.json").write_text(json.dumps(with_version(json.loads(tekken_path.read_text()), version)))
    else:
        [path] = DATA.glob(f"*.model.{version}")
        shutil.copyfile(path, directory / f"tokenizer.model.{version}")
    return directory


@pytest.mark.parametrize(
    ("version", "kind"),
    [
        *((version, "tekken") for version in ("v3", "v7", "v11", "v13", "v15")),
        *(pytest.param(version, "sentencepiece", marks=pytest.mark.slow) for version in ("v1", "v2", "v3", "v7")),
    ],
)
def test_exported_templates_give_mistral_commons_ids(
    version: str, kind: str, tmp_path: Path, tekken_path: Path
) -> None:
    directory = directory_of(version, kind, tmp_path, tekken_path)
    [path] = directory.iterdir()
    reference = MistralTokenizer.from_file(path, mode=ValidationMode.serving)
    theirs = in_transformers(directory)
    refused = set()
    for name, conversation in CONVERSATIONS.items():
        expected = mistral_commons(reference, conversation, for_completion=True)
        if expected is None:
            refused.add(name)
            with pytest.raises(Exception, match=r"no place for tools|either says something"):
                _ids(theirs, conversation)
        else:
            assert (name, _ids(theirs, conversation)) == (name, expected)
    assert refused == REFUSED.get(version, set())


def _ids(theirs: Any, conversation: Conversation) -> list[int]:
    messages, tools = wire(conversation)
    for entry, message in zip(messages, conversation.messages, strict=True):
        for call, ours in zip(entry.get("tool_calls", []), message.tool_calls, strict=True):
            call["id"] = ours.id
        if message.role == "tool":
            entry |= {"tool_call_id": message.tool_call_id, "name": message.name}
    return list(theirs.apply_chat_template(messages, tools=tools, tokenize=True, return_dict=False))


def test_arguments_may_be_text_as_on_the_wire() -> None:
    variables = {"tools": None, "bos_token": "<s>", "eos_token": "</s>"}
    for version in ("v3", "v7", "v11", "v13", "v15"):
        template = Template(mistral_template(version, SETTINGS), version)
        texts = []
        for arguments in ({"zone": "Zürich"}, '{"zone": "Zürich"}'):
            call = {"id": "aaaaaaaa1", "function": {"name": "clock", "arguments": arguments}}
            question = {"role": "user", "content": "Time?"}
            messages = [question, {"role": "assistant", "content": None, "tool_calls": [call]}]
            texts.append(template.render({"messages": messages, **variables}))
        assert texts[0] == texts[1]
        assert '{"zone": "Zürich"}' in texts[0]


def test_a_gguf_file_carries_the_same_template(tmp_path: Path, tekken_path: Path) -> None:
    directory = directory_of("v13", "tekken", tmp_path, tekken_path)
    made = json.loads(hugging_face_files(directory)["tokenizer_config.json"])["chat_template"]
    assert gguf_vocabulary(directory, 2000, {})["tokenizer.chat_template"] == made == mistral_template("v13")


def test_a_role_that_there_is_not_is_named() -> None:
    variables = {"messages": [{"role": "critic", "content": "No."}], "tools": None, "bos_token": "", "eos_token": ""}
    with pytest.raises(Exception, match="not from critic"):
        Template(mistral_template("v13"), "m").render(variables)
