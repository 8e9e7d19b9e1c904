"""Tokenizers that damage or malice made: always a sentence, never a crash, a wait or a full memory."""

import base64
import copy
import json
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bise.errors import BiseError, InputError
from bise.gguf import write_gguf
from bise.messages import Conversation, Message
from bise.tokenizer.chat import ChatTokenizer
from bise.tokenizer.examine import examine
from bise.tokenizer.template import Template
from tests.tokenizer.test_gguf import SENTENCEPIECE, byte_level_arrays
from tests.tokenizer.test_hugging_face import CHATML, LLAMA, make_directory

TEXT = "Grüße 中文 <|im_end|></s> 1234\n\n    x"
ASKED = Conversation((Message("system", "Be brief."), Message("user", TEXT)))

some_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
relaxed = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {kind: make_directory(kind, tmp_path_factory.mktemp(kind)) for kind in ("chatml", "llama")}


def use(path: Path) -> None:
    """Whatever happens is a sentence."""
    try:
        tokenizer = ChatTokenizer.load(path)
        tokenizer.decode(tokenizer.encode(TEXT))
        tokenizer.encode_raw(TEXT)
        tokenizer.render(ASKED, for_completion=True)
    except BiseError as error:
        assert 20 < len(str(error)) < 1500  # noqa: PT017 - a sentence, and no dump


def places(value: Any, road: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The roads to every value of a table; of long lists and tables only to the first."""
    found = [road]
    if isinstance(value, dict | list):
        items = list(value.items() if isinstance(value, dict) else enumerate(value))
        for key, entry in items[:12]:
            found += places(entry, (*road, key))
    return found


def changed(table: Any, road: tuple[Any, ...], value: Any) -> Any:
    """The table with another value at the end of a road."""
    if not road:
        return value
    table = copy.copy(table)
    table[road[0]] = changed(table[road[0]], road[1:], value)
    return table


def change_json(data: st.DataObject, table: Any) -> bytes:
    """The file with one to three values replaced or moved."""
    for _ in range(data.draw(st.integers(1, 3))):
        roads = places(table)
        value = data.draw(some_json) if data.draw(st.booleans()) else None
        if value is None:
            value = table
            for key in data.draw(st.sampled_from(roads)):
                value = value[key]
        table = changed(table, data.draw(st.sampled_from(roads)), value)
    return json.dumps(table).encode()


def change_bytes(data: st.DataObject, content: bytes) -> bytes:
    """The file cut short, or with some bytes overwritten."""
    changed = bytearray(content)
    if data.draw(st.booleans()):
        return content[: data.draw(st.integers(0, len(content)))]
    for _ in range(data.draw(st.integers(1, 4))):
        at, new = data.draw(st.integers(0, len(content) - 1)), data.draw(st.binary(min_size=1, max_size=6))
        changed[at : at + len(new)] = new
    return bytes(changed)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["chatml", "llama"])
@relaxed
@given(data=st.data())
def test_changed_values_of_a_tokenizer_json(
    tmp_path: Path, originals: dict[str, Path], kind: str, data: st.DataObject
) -> None:
    shutil.copytree(originals[kind], tmp_path, dirs_exist_ok=True)
    name = data.draw(st.sampled_from(["tokenizer.json", "tokenizer_config.json"]))
    (tmp_path / name).write_bytes(change_json(data, json.loads((tmp_path / name).read_bytes())))
    use(tmp_path)


@pytest.mark.slow
@relaxed
@given(data=st.data())
def test_changed_bytes_of_a_tokenizer_json(tmp_path: Path, originals: dict[str, Path], data: st.DataObject) -> None:
    shutil.copytree(originals["chatml"], tmp_path, dirs_exist_ok=True)
    path = tmp_path / "tokenizer.json"
    path.write_bytes(change_bytes(data, path.read_bytes()))
    use(tmp_path)


@relaxed
@given(data=st.data())
def test_changed_values_of_a_tekken_file(tmp_path: Path, tekken_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "tekken.json"
    path.write_bytes(change_json(data, json.loads(tekken_path.read_bytes())))
    use(path)


@relaxed
@given(data=st.data())
def test_changed_bytes_of_a_tekken_file(tmp_path: Path, tekken_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "tekken.json"
    path.write_bytes(change_bytes(data, tekken_path.read_bytes()))
    use(path)


@pytest.mark.slow
@relaxed
@given(data=st.data())
def test_changed_bytes_of_a_sentencepiece_file(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "tokenizer.model.v3"
    path.write_bytes(change_bytes(data, SENTENCEPIECE.read_bytes()))
    use(path)


@pytest.mark.slow
@relaxed
@given(data=st.data())
def test_changed_arrays_of_a_gguf_vocabulary(tmp_path: Path, originals: dict[str, Path], data: st.DataObject) -> None:
    arrays = byte_level_arrays(originals["chatml"])
    for key in data.draw(st.lists(st.sampled_from(sorted(arrays)), min_size=1, max_size=2)):
        value: Any = data.draw(
            st.integers(0, 2**31) | st.text(max_size=9) | st.lists(st.text(max_size=9), max_size=9) | st.just(...)
        )
        if value is ...:
            arrays.pop(key, None)
            continue
        arrays[key] = value
    write_gguf(tmp_path / "any.gguf", arrays, {})
    use(tmp_path / "any.gguf")


@pytest.mark.slow
@relaxed
@given(data=st.data(), source=st.sampled_from([CHATML, LLAMA]))
def test_changed_templates(source: str, data: st.DataObject) -> None:
    text = change_bytes(data, source.encode()).decode("utf-8", "replace")
    pieces = data.draw(
        st.lists(st.sampled_from(["{{", "}}", "{%", "%}", "{#", "messages", "|", " ~ ", "[0]"]), max_size=3)
    )
    for piece in pieces:
        at = data.draw(st.integers(0, len(text)))
        text = text[:at] + piece + text[at:]
    try:
        Template(text, "the model").render({"messages": [{"role": "user", "content": TEXT}], "bos_token": "<s>"})
    except InputError as error:
        assert len(str(error)) < 600  # noqa: PT017


def normaliser(**entry: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda table: table | {"normalizer": entry}


def cutter(**entry: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda table: table | {"pre_tokenizer": entry}


def nested(depth: int) -> dict[str, Any]:
    table: dict[str, Any] = {"type": "NFC"}
    for _ in range(depth):
        table = {"type": "Sequence", "normalizers": [table]}
    return table


BLOW_UP = {"type": "Replace", "pattern": {"String": "x"}, "content": "x" * 500}
EXPLODES = r"(?:x|x){0,21}[yz]|."  # two million ways to fail at every sign
HOSTILE_TABLES: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "a charsmap of eight gigabytes, at which the library aborts": normaliser(
        type="Precompiled", precompiled_charsmap="/////w=="
    ),
    "a charsmap that leads outside": normaliser(
        type="Precompiled", precompiled_charsmap=base64.b64encode(b"\x08\0\0\0" + b"\xff" * 8 + b"abc").decode()
    ),
    "pieces of no length": cutter(type="FixedLength", length=0),
    "a prefix that no piece has": lambda table: (
        table | {"model": table["model"] | {"continuing_subword_prefix": "é" * 9}}
    ),
    "a nest": lambda table: table | {"normalizer": nested(300)},
    "an expression that is none": cutter(
        type="Split", pattern={"Regex": "(" * 5000}, behavior="Isolated", invert=False
    ),
    "a text that grows without end": lambda table: (
        table | {"normalizer": {"type": "Sequence", "normalizers": [BLOW_UP] * 9}}
    ),
    "an expression that never ends": cutter(
        type="Split", pattern={"Regex": EXPLODES}, behavior="Isolated", invert=False
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", HOSTILE_TABLES)
def test_hostile_tables_are_refused_on_trial_and_in_use(tmp_path: Path, case: str) -> None:
    directory = make_directory("chatml", tmp_path)
    path = directory / "tokenizer.json"
    path.write_text(json.dumps(HOSTILE_TABLES[case](json.loads(path.read_text()))))
    began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError):
        examine(directory, 1 << 20)
    if "never ends" not in case:  # which takes its time here, too
        with pytest.raises(InputError):
            ChatTokenizer.load(directory).encode("x" * 2000)
    assert time.monotonic() - began < 100
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kilobytes


@pytest.mark.parametrize(
    ("pattern", "text"),
    [("", "x"), (r"(?=x)(x|x)*\1q|.", "x" * 100_000 + "!"), (r"\s+(?!\S)|\s+|\S", " " * 60_000 + "x")],
)
def test_a_panic_of_the_other_library_is_a_sentence(tmp_path: Path, tekken_path: Path, pattern: str, text: str) -> None:
    table = json.loads(tekken_path.read_text())
    table["config"]["pattern"] = pattern
    (tmp_path / "tekken.json").write_text(json.dumps(table))
    try:
        assert ChatTokenizer.load(tmp_path).encode(text)
    except InputError as error:
        assert "expression cannot cut this text" in str(error)  # noqa: PT017
    else:
        assert pattern.startswith(r"\s")


@pytest.mark.parametrize(
    "change",
    [
        {"default_num_special_tokens": 10**9, "default_vocab_size": 10**9 + 500},
        {"default_vocab_size": 1e999},
        {"default_num_special_tokens": -5},
        {"pattern": "(" * 100_000},
        {"pattern": r"(?:(?:a{1000}){1000}){1000}"},
    ],
)
def test_hostile_numbers_of_a_tekken_file(tmp_path: Path, tekken_path: Path, change: dict[str, Any]) -> None:
    table = json.loads(tekken_path.read_text())
    table["config"] |= change
    (tmp_path / "tekken.json").write_text(json.dumps(table))
    with pytest.raises(InputError, match="not a valid tekken file"):
        ChatTokenizer.load(tmp_path)


def test_a_huge_file_is_refused_unread(tmp_path: Path) -> None:
    for name in ("tekken.json", "tokenizer.json"):
        with (tmp_path / name).open("wb") as file:
            file.truncate(1 << 33)
        with pytest.raises(InputError, match="8,589,934,592 bytes"):
            ChatTokenizer.load(tmp_path / name)


@pytest.mark.slow
def test_a_bomb_of_brackets_is_refused_in_bounded_memory(tmp_path: Path) -> None:
    """Sixty megabytes of JSON that are gigabytes of lists."""
    (tmp_path / "tokenizer.json").write_bytes(b'{"a": [' + b"[]," * 20_000_000 + b"[]]}")
    with pytest.raises(InputError, match="was refused: on trial it"):
        examine(tmp_path, 1 << 20)


def test_good_ones_pass_the_trial(tmp_path: Path, tekken_path: Path) -> None:
    for path in (tekken_path, make_directory("chatml", tmp_path)):
        examine(path, ChatTokenizer.load(path).vocab_size)


def test_a_tokenizer_with_more_tokens_than_the_weights_is_another_model_s(tekken_path: Path) -> None:
    size = ChatTokenizer.load(tekken_path).vocab_size
    examine(tekken_path, size + 7)
    with pytest.raises(InputError, match=f"has {size:,} tokens, but the weights know only {size - 1:,}"):
        examine(tekken_path, size - 1)


@pytest.mark.slow
def test_the_process_does_not_outlive_who_asked_it(tmp_path: Path) -> None:
    directory = make_directory("chatml", tmp_path)
    script = (
        "import os, signal, sys; from pathlib import Path; from bise.tokenizer.chat import ChatTokenizer\n"
        "kept = ChatTokenizer.load(Path(sys.argv[1]))\n"
        "print(Path(f'/proc/self/task/{os.getpid()}/children').read_text(), flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", script, str(directory)], check=False, capture_output=True, text=True)
    pid = int(done.stdout)
    deadline = time.monotonic() + 20
    while Path(f"/proc/{pid}/stat").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{pid}/stat").exists()
