"""Tokenizers of every kind as transformers reads them: the same ids, the same text, the same conversations."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bise.errors import InputError
from bise.gguf import write_gguf
from bise.tokenizer.chat import ChatTokenizer
from bise.tokenizer.convert import hugging_face_files
from bise.tokenizer.exchange import gguf_vocabulary
from tests.tokenizer.conftest import HOSTILE, TEXTS
from tests.tokenizer.test_chat import chat
from tests.tokenizer.test_gguf import GGML, SENTENCEPIECE, byte_level_arrays, sentencepiece_arrays
from tests.tokenizer.test_hugging_face import make_directory, their_ids
from tests.tokenizer.test_versions import DATA, with_version

slow = pytest.mark.slow
CHAT = chat([("How late is it?", "Five."), ("And now?", "Six.")], "Be brief.")


def directory_of(kind: str, tmp_path: Path, tekken_path: Path) -> Path:
    """A model's directory with a tokenizer of one kind."""
    directory = tmp_path / "model"
    directory.mkdir()
    if kind.startswith("tekken_"):
        shutil.copyfile(DATA / kind, directory / "tekken.json")
    elif kind == "sentencepiece":
        shutil.copyfile(SENTENCEPIECE, directory / "tokenizer.model.v3")
    elif kind == "gguf by bytes":
        write_gguf(directory / "tokenizer.gguf", byte_level_arrays(make_directory("chatml", tmp_path / "hf")), {})
    elif kind == "gguf by pieces":
        write_gguf(directory / "tokenizer.gguf", sentencepiece_arrays(SENTENCEPIECE), {})
    else:
        table = with_version(json.loads(tekken_path.read_text()), kind)
        (directory / "tekken.json").write_text(json.dumps(table))
    return directory


def in_transformers(directory: Path) -> Any:
    transformers = pytest.importorskip("transformers")
    for name, text in hugging_face_files(directory).items():
        (directory / name).write_text(text, encoding="utf-8")
    return transformers.PreTrainedTokenizerFast.from_pretrained(directory)


@pytest.mark.parametrize(
    "kind",
    [
        "v13",
        pytest.param("tekken_240911.json", marks=slow),
        pytest.param("sentencepiece", marks=slow),
        "gguf by bytes",
        pytest.param("gguf by pieces", marks=slow),
    ],
)
def test_text_has_the_same_ids(kind: str, tmp_path: Path, tekken_path: Path) -> None:
    directory = directory_of(kind, tmp_path, tekken_path)
    ours = ChatTokenizer.load(directory)
    theirs = in_transformers(directory)
    compared = 0
    for text in [*TEXTS[:14], *HOSTILE]:
        if any(name in text for name in ours.control_tokens()):
            continue
        ids = ours.encode(text)
        assert theirs.encode(text, add_special_tokens=False) == ids
        assert theirs.decode(ids) == ours.decode(ids)
        if kind != "gguf by bytes":  # whose file has no token that texts begin with
            assert theirs.encode(text) == ours.begin(ids)
        compared += 1
    assert compared > 20
    assert [theirs.convert_ids_to_tokens(token) for token in ours.stop_ids[:1]] == [theirs.eos_token]


@pytest.mark.parametrize("version", ["v3", "v7", "v11", "v13"])
def test_conversations_have_the_same_ids(version: str, tmp_path: Path, tekken_path: Path) -> None:
    directory = directory_of(version, tmp_path, tekken_path)
    if version == "v3":  # has no token for system prompts
        table = json.loads((directory / "tekken.json").read_text())
        for entry, name in zip(table["special_tokens"][17:19], ["<SPECIAL_17>", "<SPECIAL_18>"], strict=True):
            entry["token_str"] = name
        (directory / "tekken.json").write_text(json.dumps(table))
    ours = ChatTokenizer.load(directory)
    theirs = in_transformers(directory)
    for messages in (CHAT.messages[:2], CHAT.messages[:4], CHAT.messages[1:2]):
        part = replace(CHAT, messages=messages)
        assert ours.render(part, for_completion=True).ids == their_ids(theirs, part, add_generation_prompt=True)


@pytest.mark.slow
def test_llama_cpp_s_arrays_of_a_sentencepiece_file_are_its_own(tmp_path: Path, tekken_path: Path) -> None:
    directory = directory_of("sentencepiece", tmp_path, tekken_path)
    expected, made = ChatTokenizer.load(directory), hugging_face_files(directory)
    arrays = gguf_vocabulary(directory, expected.vocab_size + 8, made)
    assert len(arrays[GGML + "tokens"]) == expected.vocab_size + 8  # type: ignore[arg-type]
    write_gguf(tmp_path / "any.gguf", arrays, {})
    ours = ChatTokenizer.load(tmp_path / "any.gguf")
    for text in [*TEXTS[:14], *HOSTILE]:
        assert ours.encode(text) == expected.encode(text)


def test_a_tokenizer_json_goes_through_a_gguf_file_as_it_is(tmp_path: Path) -> None:
    for kind in ("chatml", "llama"):
        directory = make_directory(kind, tmp_path / kind)
        assert hugging_face_files(directory) == {}
        (tmp_path / f"{kind} store").mkdir()
        arrays = gguf_vocabulary(directory, 2000, {})
        write_gguf(tmp_path / f"{kind} store" / "tokenizer.gguf", arrays, {})
        files = hugging_face_files(tmp_path / f"{kind} store")
        assert json.loads(files["tokenizer.json"]) == json.loads((directory / "tokenizer.json").read_text())
        config, again = json.loads((directory / "tokenizer_config.json").read_text()), files["tokenizer_config.json"]
        assert json.loads(again)["chat_template"] == config["chat_template"]
        assert ("generation_config.json" in files) == (kind == "chatml")


def test_what_other_programs_could_not_read_is_a_sentence(tmp_path: Path, tekken_path: Path) -> None:
    table = json.loads(tekken_path.read_text())
    table["special_tokens"][1]["token_str"] = "<begin>"
    (tmp_path / "tekken.json").write_text(json.dumps(table))
    with pytest.raises(InputError, match="has no <s>, </s> and <unk>"):
        hugging_face_files(tmp_path)
