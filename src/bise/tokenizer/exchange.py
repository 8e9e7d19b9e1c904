"""A model's tokenizer for other programs: the files that go along, and the arrays that llama.cpp wants in a GGUF file.

llama.cpp knows the regular expressions of pre-tokenizers by name only. A vocabulary whose expression has no name there
cannot be written; ours is close to Tekken's and takes its name (they differ in runs of more than 128 blanks, in capitals
beyond ASCII, and at the sign that marks the middle in code).
"""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bise.errors import InputError
from bise.gguf import Value, open_gguf
from bise.tokenizer.letters import spell
from bise.tokenizer.mistral_template import mistral_template
from bise.tokenizer.tekken import FILE_NAME, PATTERN

HUGGING_FACE_FILE = "tokenizer.json"
CONFIG_FILE = "tokenizer_config.json"
TEMPLATE_FILE = "chat_template.jinja"
GGUF_FILE = "tokenizer.gguf"
TEKKEN_KEY = "bise.tekken"  # the tekken file itself, for whoever reads the GGUF file back
HUGGING_FACE_KEY = "tokenizer.huggingface.json"  # as llama.cpp calls a tokenizer.json that a file carries
_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED, _UNUSED, _BYTE = 1, 2, 3, 4, 5, 6  # llama.cpp's kinds of token
_TEKKEN_PATTERN = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
# The beginning of a pre-tokenizer's regular expression -> llama.cpp's name.
_PRE_TOKENIZERS = {
    PATTERN: "tekken",
    _TEKKEN_PATTERN: "tekken",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}": "llama-bpe",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|": "qwen2",
}


@dataclass(frozen=True)
class TekkenTable:
    """What other programs need of a tekken file."""

    text: str  # the file
    pattern: str
    special: list[str]  # names of the first ids
    tokens: list[bytes]
    template: str  # mistral-common's of its version, in Jinja


def gguf_vocabulary(directory: Path, vocab_size: int, made: Mapping[str, str]) -> dict[str, Value]:
    """The tokenizer.* metadata of a GGUF file for the tokenizer in a model directory.

    Args:
        directory: of a model in the store.
        vocab_size: of the model; what it has beyond the tokenizer is filled up.
        made: what `convert.hugging_face_files` makes of the tokenizer.

    Raises:
        InputError: there is none, it is damaged, or llama.cpp has no name for its pre-tokenizer.
    """
    if (directory / GGUF_FILE).is_file():
        return open_gguf(directory / GGUF_FILE)[0].metadata
    if (directory / FILE_NAME).is_file():
        return _from_tekken(directory / FILE_NAME, vocab_size)
    path = directory / HUGGING_FACE_FILE
    if path.is_file():
        template, config = directory / TEMPLATE_FILE, _table(directory / CONFIG_FILE)
        own = template.read_text(encoding="utf-8") if template.is_file() else config.get("chat_template")
        return _from_hugging_face(path, path.read_text(encoding="utf-8"), config, own, vocab_size)
    if HUGGING_FACE_FILE in made:
        config = json.loads(made[CONFIG_FILE])
        return _from_hugging_face(path, made[HUGGING_FACE_FILE], config, config.get("chat_template"), vocab_size)
    raise InputError(f"{directory} has no tokenizer of which llama.cpp's could be made. Export it to hf or mistral.")


def merges_of(tokens: Sequence[bytes]) -> list[tuple[bytes, bytes]]:
    """The two parts that each token of more than one byte is last merged from, in order of rank."""
    ranks = {token: rank for rank, token in enumerate(tokens)}
    pairs = []
    for rank, token in enumerate(tokens):
        parts = [token[i : i + 1] for i in range(len(token))]
        while len(parts) > 2:
            joined = [ranks.get(parts[i] + parts[i + 1], rank) for i in range(len(parts) - 1)]
            lowest = min(joined)
            if lowest >= rank:
                break  # no road leads to this token: text never becomes it
            at = joined.index(lowest)
            parts[at : at + 2] = [parts[at] + parts[at + 1]]
        if len(parts) == 2:
            pairs.append((parts[0], parts[1]))
    return pairs


def spelled_merges(tokens: Sequence[bytes]) -> list[list[str]]:
    """`merges_of` in letters."""
    return [[spell(part) for part in pair] for pair in merges_of(tokens)]


def read_tekken_table(path: Path) -> TekkenTable:
    """Read a tekken file.

    Raises:
        InputError: it is damaged, or has no <s>, </s> and <unk>.
    """
    try:
        text = path.read_text(encoding="utf-8")
        table = json.loads(text)
        config = table["config"]
        num_special, size = int(config["default_num_special_tokens"]), int(config["default_vocab_size"])
        tokens = [base64.b64decode(entry["token_bytes"]) for entry in table["vocab"][: size - num_special]]
        special = [str(entry["token_str"]) for entry in table.get("special_tokens") or _older_special_tokens()]
        pattern = str(config["pattern"])
        template = mistral_template(str(config["version"]), table.get("model_settings_builder"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"The tokenizer {path} is damaged: {error!r}. Copy or train it again.") from None
    if not {"<s>", "</s>", "<unk>"} <= set(special):
        raise InputError(f"The tokenizer {path} has no <s>, </s> and <unk>. Copy or train it again.")
    special += [f"<SPECIAL_{rank}>" for rank in range(len(special), num_special)]
    return TekkenTable(text, pattern, special, tokens, template)


def _older_special_tokens() -> list[Any]:
    """Those of files that do not list theirs."""
    from mistral_common.tokens.tokenizers.tekken import Tekkenizer  # takes most of a second

    return list(Tekkenizer.DEPRECATED_SPECIAL_TOKENS)


def _from_tekken(path: Path, vocab_size: int) -> dict[str, Value]:
    tekken = read_tekken_table(path)
    merges = [" ".join(pair) for pair in spelled_merges(tekken.tokens)]
    kinds = [_CONTROL] * len(tekken.special) + [_NORMAL] * len(tekken.tokens)
    pre = _pre_tokenizer(tekken.pattern, path)
    ids = {name: tekken.special.index(token) for name, token in (("bos", "<s>"), ("eos", "</s>"), ("unknown", "<unk>"))}
    return _gpt2(pre, tekken.special + [spell(token) for token in tekken.tokens], kinds, merges, vocab_size) | {
        **{f"tokenizer.ggml.{name}_token_id": token_id for name, token_id in ids.items()},
        "tokenizer.ggml.add_bos_token": True,
        "tokenizer.ggml.add_eos_token": False,
        "tokenizer.chat_template": tekken.template,
        TEKKEN_KEY: tekken.text,
    }


def _gpt2(pre: str, tokens: list[str], kinds: list[int], merges: list[str], vocab_size: int) -> dict[str, Value]:
    missing = vocab_size - len(tokens)
    if missing < 0:
        raise InputError(
            f"The tokenizer has {len(tokens)} tokens, but the model only {vocab_size}: they do not belong together."
        )
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": pre,
        "tokenizer.ggml.tokens": tokens + [f"[PAD{index}]" for index in range(missing)],
        "tokenizer.ggml.token_type": np.array(kinds + [_UNUSED] * missing, np.int32),
        "tokenizer.ggml.merges": merges,
    }


def _pre_tokenizer(pattern: str, path: Path) -> str:
    for beginning, name in _PRE_TOKENIZERS.items():
        if pattern.startswith(beginning):
            return name
    raise InputError(
        f"The tokenizer {path} cuts text by an expression that llama.cpp has no name for: {pattern[:80]}… Export the "
        "model to hf or mistral."
    )


def _from_hugging_face(
    path: Path, text: str, config: Mapping[str, Any], template: object, vocab_size: int
) -> dict[str, Value]:
    try:
        table = json.loads(text)
        model = table["model"]
        tokens, kinds = _numbered(model["vocab"], table.get("added_tokens") or [], vocab_size)
        merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in model.get("merges") or ()]
        is_spelled_in_bytes = not model.get("byte_fallback", False)
        if model.get("type", "BPE") != "BPE":
            raise InputError(f"The tokenizer {path} is of the kind {model['type']}, and llama.cpp's here are BPE only.")
        if is_spelled_in_bytes:
            vocabulary = _gpt2(_cutter_name(table, path), tokens, kinds, merges, vocab_size)
        else:
            vocabulary = _sentencepiece(tokens, kinds, merges)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"The tokenizer {path} is damaged: {error!r}. Fetch it again.") from None
    for name in ("bos", "eos", "unk", "pad"):
        token = config.get(f"{name}_token")
        token = token.get("content") if isinstance(token, dict) else token
        if token in tokens:
            key = "unknown" if name == "unk" else "padding" if name == "pad" else name
            vocabulary[f"tokenizer.ggml.{key}_token_id"] = tokens.index(token)
    vocabulary["tokenizer.ggml.add_bos_token"] = _adds_bos(table, config)
    if isinstance(template, str) and template:
        vocabulary["tokenizer.chat_template"] = template
    return vocabulary | {HUGGING_FACE_KEY: text}


def _numbered(
    vocab: Mapping[str, int], added: Sequence[Mapping[str, Any]], vocab_size: int
) -> tuple[list[str], list[int]]:
    """Tokens in order of their ids, and their kinds."""
    by_id = {int(token_id): (token, _NORMAL) for token, token_id in vocab.items()}
    for entry in added:
        by_id[int(entry["id"])] = (str(entry["content"]), _CONTROL if entry.get("special") else _USER_DEFINED)
    size = max(by_id) + 1
    if size > vocab_size:
        raise InputError(
            f"The tokenizer has {size} tokens, but the model only {vocab_size}: they do not belong together."
        )
    rows = [by_id.get(token_id, (f"[PAD{token_id}]", _UNUSED)) for token_id in range(vocab_size)]
    return [token for token, _ in rows], [kind for _, kind in rows]


def _sentencepiece(tokens: list[str], kinds: list[int], merges: Sequence[str]) -> dict[str, Value]:
    """Pieces with a score each: llama.cpp merges the neighbours whose piece scores highest, so ranks become scores."""
    ranks = {merge.replace(" ", "", 1): -float(rank) for rank, merge in reversed(list(enumerate(merges, start=1)))}
    is_byte = [len(token) == 6 and token.startswith("<0x") and token.endswith(">") for token in tokens]
    kinds = [
        _UNKNOWN if token == "<unk>" else _BYTE if byte else kind
        for token, byte, kind in zip(tokens, is_byte, kinds, strict=True)
    ]
    lowest = -float(len(merges) + 1)
    scores = [0.0 if kind != _NORMAL else ranks.get(token, lowest) for token, kind in zip(tokens, kinds, strict=True)]
    return {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.scores": np.array(scores, np.float32),
        "tokenizer.ggml.token_type": np.array(kinds, np.int32),
    }


def _cutter_name(table: Mapping[str, Any], path: Path) -> str:
    """llama.cpp's name of what cuts the text in a byte-level tokenizer.json."""
    first = table.get("pre_tokenizer") or {}
    steps = {step.get("type"): step for step in first.get("pretokenizers", [first])}
    if "Split" in steps:
        return _pre_tokenizer(str(steps["Split"]["pattern"].get("Regex", "")), path)
    if steps.get("ByteLevel", {}).get("use_regex", True):  # the expression of GPT-2 is the library's own
        return "smollm" if steps.get("Digits", {}).get("individual_digits") else "gpt-2"
    return _pre_tokenizer("", path)


def _adds_bos(table: Mapping[str, Any], config: Mapping[str, Any]) -> bool:
    if isinstance(config.get("add_bos_token"), bool):
        return bool(config["add_bos_token"])
    return "SpecialToken" in json.dumps(table.get("post_processor") or {})


def _table(path: Path) -> dict[str, Any]:
    """A JSON table, empty when there is no such file."""
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise InputError(f"{path} is damaged: {error}. Fetch it again.") from None
    return table if isinstance(table, dict) else {}
