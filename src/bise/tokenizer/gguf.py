"""The vocabulary of a GGUF file: its arrays as a table of the `tokenizers` library, and its chat template.

Two kinds are read: byte-level pairs with the names of the cutters that supported models use, and SentencePiece pairs, whose
scores give the order of merges.
"""

from pathlib import Path
from typing import Any

import numpy as np

from bise.errors import InputError
from bise.gguf import Header, open_gguf
from bise.tokenizer.hugging_face import BLANK, HuggingFaceCodec, Parts
from bise.tokenizer.template import Template

_PREFIX = "tokenizer.ggml."
_UNKNOWN, _CONTROL, _USER_DEFINED, _BYTE = 2, 3, 4, 6  # types of tokens
_STOPS = ("eos", "eot", "eom")
# What ends a turn in the templates of supported models, where a file names only the end of a text.
_TURN_ENDS = ("<|eot_id|>", "<|eom_id|>", "<|im_end|>", "<|end|>", "<|endoftext|>")
_NAMES = {"bos": "bos_token", "eos": "eos_token", "unknown": "unk_token", "padding": "pad_token"}
_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_WORDS = r"[^\r\n\p{L}\p{N}]?\p{L}+"
_REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_TEKKEN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
# How a cutter is called in GGUF files -> its pattern, None for that of GPT-2.
_PATTERNS = {
    "llama-bpe": rf"{_CONTRACTIONS}|{_WORDS}|\p{{N}}{{1,3}}|{_REST}",
    "smaug-bpe": rf"{_CONTRACTIONS}|{_WORDS}|\p{{N}}{{1,3}}|{_REST}",  # SmolLM3's and others with Llama 3's vocabulary
    "qwen2": rf"{_CONTRACTIONS}|{_WORDS}|\p{{N}}|{_REST}",
    "tekken": _TEKKEN,
    "smollm": None,
    "gpt-2": None,
}
_SAME = {"llama3": "llama-bpe", "llama-v3": "llama-bpe", "pixtral": "llama-bpe", "deepseek-r1-qwen": "qwen2"}
_WHOLE_WORDS_FIRST = ("llama-bpe", "tekken")  # a word that is an entry is not merged from its parts


def load_gguf(path: Path) -> HuggingFaceCodec:
    """Load the vocabulary of a GGUF file, with or without tensors; errors are those of `read_parts`."""
    return HuggingFaceCodec(read_parts(path))


def read_parts(path: Path) -> Parts:
    """What the vocabulary of a GGUF file consists of.

    Raises:
        InputError: the file is damaged, has no vocabulary, or one of a kind that Bise does not read.
    """
    header, data = open_gguf(path)
    data.close()
    names, types = header.metadata.get(_PREFIX + "tokens"), header.metadata.get(_PREFIX + "token_type")
    if not isinstance(names, list) or not names:
        raise InputError(f"{path} has no vocabulary.")
    kinds = types.tolist() if isinstance(types, np.ndarray) else [1] * len(names)
    if len(kinds) != len(names):
        raise InputError(f"{path} has {len(names):,} tokens with {len(kinds):,} types. Fetch it again.")
    model = header.text(_PREFIX + "model")
    if model == "gpt2":
        table = _byte_level(header, names, path)
    elif model == "llama":
        table = _sentencepiece(header, names, kinds, path)
    else:
        raise InputError(f"{path} has a vocabulary of the kind {model!r}. Bise reads gpt2 and llama.")
    table["added_tokens"] = [
        {
            "id": token,
            "content": names[token],
            "special": kind != _USER_DEFINED,
            **dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False),
        }
        for token, kind in enumerate(kinds)
        if kind in (_UNKNOWN, _CONTROL, _USER_DEFINED) and names[token]
    ]
    special = {name: names[token] for key, name in _NAMES.items() if (token := _token(header, key, names)) is not None}
    stops = [token for key in _STOPS if (token := _token(header, key, names)) is not None]
    stops += [token for token, kind in enumerate(kinds) if kind == _CONTROL and names[token] in _TURN_ENDS]
    source = header.text("tokenizer.chat_template")
    templates = {"default": Template(source, str(path))} if source else {}
    return Parts((path,), table, special, tuple(stops), templates)


def cutter_name(header: Header) -> str:
    """What a file calls the cutter of its text, under one of its names."""
    name = header.text(_PREFIX + "pre")
    return _SAME.get(name, name)


def _byte_level(header: Header, names: list[str], path: Path) -> dict[str, Any]:
    merges, cutter = header.metadata.get(_PREFIX + "merges"), cutter_name(header)
    if not isinstance(merges, list):
        raise InputError(f"{path} has no merges, so its text cannot be cut.")
    if cutter not in _PATTERNS:
        raise InputError(f"{path} cuts text as {cutter!r}. Bise knows {', '.join(_PATTERNS)}.")
    pattern = _PATTERNS[cutter]
    letters = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": pattern is None}
    cuts: list[dict[str, Any]] = [letters]
    if pattern is not None:
        cuts.insert(0, {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False})
    if cutter == "smollm":
        cuts.insert(0, {"type": "Digits", "individual_digits": True})
    return {
        "version": "1.0",
        "normalizer": {"type": "NFC"} if cutter == "qwen2" else None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": cuts},
        "decoder": letters,
        "model": {
            "type": "BPE",
            "vocab": _vocabulary(names),
            "merges": merges,
            "ignore_merges": cutter in _WHOLE_WORDS_FIRST,
        },
    }


def _sentencepiece(header: Header, names: list[str], kinds: list[int], path: Path) -> dict[str, Any]:
    scores = header.metadata.get(_PREFIX + "scores")
    if not isinstance(scores, np.ndarray) or len(scores) != len(names):
        raise InputError(f"{path} has no scores for its {len(names):,} tokens, so its text cannot be cut.")
    turns = [{"type": "Replace", "pattern": {"String": " "}, "content": BLANK}]
    if header.metadata.get(_PREFIX + "add_space_prefix", True):
        turns.insert(0, {"type": "Prepend", "prepend": BLANK})
    unknown = _token(header, "unknown", names)
    return {
        "version": "1.0",
        "normalizer": {"type": "Sequence", "normalizers": turns},
        "pre_tokenizer": None,
        "decoder": {"type": "ByteFallback"},
        "model": {
            "type": "BPE",
            "vocab": _vocabulary(names),
            "merges": merges_by_score(names, scores.tolist(), kinds),
            "byte_fallback": True,
            "fuse_unk": True,
            "unk_token": None if unknown is None else names[unknown],
        },
    }


def merges_by_score(names: list[str], scores: list[float], kinds: list[int]) -> list[list[str]]:
    """The pairs to merge, best first: every way to cut a piece into two pieces, ordered by the score of the whole."""
    plain = {name: token for token, name in enumerate(names) if kinds[token] not in (_UNKNOWN, _CONTROL, _BYTE)}
    found = []
    for name, token in plain.items():
        for cut in range(1, len(name)):
            left, right = name[:cut], name[cut:]
            if left in plain and right in plain:
                found.append((-scores[token], token, plain[left], plain[right]))
    return [[names[left], names[right]] for _, _, left, right in sorted(found)]


def _vocabulary(names: list[str]) -> dict[str, int]:
    return {name: token for token, name in reversed(list(enumerate(names)))}  # of a name twice, the first counts


def _token(header: Header, key: str, names: list[str]) -> int | None:
    token = header.metadata.get(f"{_PREFIX}{key}_token_id")
    return token if type(token) is int and 0 <= token < len(names) else None
