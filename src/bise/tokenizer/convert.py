"""Any tokenizer as `transformers` reads it: a tokenizer.json with its configuration, the same ids on the same text.

A tekken file gives the pairs that its ranks merge, a GGUF file and a SentencePiece file those that their scores do. A GGUF
file of ours carries the tokenizer.json that it was made from, and that is what comes out again.
"""

import json
from pathlib import Path
from typing import Any

from bise.gguf import Header, open_gguf
from bise.tokenizer.exchange import (
    CONFIG_FILE,
    GGUF_FILE,
    HUGGING_FACE_FILE,
    HUGGING_FACE_KEY,
    read_tekken_table,
    spelled_merges,
)
from bise.tokenizer.gguf import cutter_name, merges_by_score, read_parts
from bise.tokenizer.hugging_face import BLANK, Parts
from bise.tokenizer.letters import spell
from bise.tokenizer.mistral_template import mistral_template
from bise.tokenizer.tekken import FILE_NAME

_SENTENCEPIECE = "tokenizer.model"
_UNKNOWN, _CONTROL, _BYTE, _NORMAL = 2, 3, 6, 1  # as in GGUF files
_BEGIN = ("llama-bpe", "tekken")  # cutters whose texts begin with BOS where a file does not say
_WITHOUT_BLANKS = {"lstrip": False, "rstrip": False, "single_word": False, "normalized": False}
_LETTERS = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
_PIECES = {
    "type": "Sequence",
    "decoders": [
        {"type": "Replace", "pattern": {"String": BLANK}, "content": " "},
        {"type": "ByteFallback"},
        {"type": "Fuse"},
        {"type": "Strip", "content": " ", "start": 1, "stop": 0},
    ],
}


def hugging_face_files(directory: Path) -> dict[str, str]:
    """What must be added to a model's files so that `transformers` finds a tokenizer: name -> text; nothing if it does.

    Raises:
        InputError: the tokenizer is damaged.
    """
    if (directory / HUGGING_FACE_FILE).is_file():
        return {}
    if (directory / FILE_NAME).is_file():
        return _of_tekken(directory / FILE_NAME)
    if (directory / GGUF_FILE).is_file():
        return _of_gguf(directory / GGUF_FILE)
    for path in sorted(directory.glob(f"{_SENTENCEPIECE}*")):
        return _of_sentencepiece(path)
    return {}


def _of_tekken(path: Path) -> dict[str, str]:
    tekken = read_tekken_table(path)
    names = [*tekken.special, *map(spell, tekken.tokens)]
    split = {"type": "Split", "pattern": {"Regex": tekken.pattern}, "behavior": "Isolated", "invert": False}
    table = _table(names, spelled_merges(tekken.tokens), tekken.special, list(range(len(tekken.special))))
    table |= {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, _LETTERS]}, "decoder": _LETTERS}
    table["model"]["ignore_merges"] = True  # a piece that is an entry is one token, as in tiktoken
    special = {f"{key}_token": name for key, name in (("bos", "<s>"), ("eos", "</s>"), ("unk", "<unk>"))}
    return _files(table, special, tekken.template)


def _of_gguf(path: Path) -> dict[str, str]:
    header, data = open_gguf(path)
    data.close()
    parts, carried = read_parts(path), header.metadata.get(HUGGING_FACE_KEY)
    table = json.loads(carried) if isinstance(carried, str) else _completed(parts, header)
    files = _files(table, parts.special, header.text("tokenizer.chat_template"))
    if len(parts.stop_ids) > 1:
        files["generation_config.json"] = json.dumps({"eos_token_id": list(dict.fromkeys(parts.stop_ids))}, indent=2)
    return files


def _of_sentencepiece(path: Path) -> dict[str, str]:
    from sentencepiece import SentencePieceProcessor

    pieces = SentencePieceProcessor(model_file=str(path))
    ids = range(pieces.vocab_size())
    names = [pieces.id_to_piece(token) for token in ids]
    kinds = [
        _UNKNOWN if pieces.IsUnknown(t) else _CONTROL if pieces.IsControl(t) else _BYTE if pieces.IsByte(t) else _NORMAL
        for t in ids
    ]
    merges = merges_by_score(names, [pieces.get_score(token) for token in ids], kinds)
    controls = [token for token in ids if kinds[token] in (_UNKNOWN, _CONTROL)]
    table = _table(names, merges, [names[token] for token in controls], controls)
    turns = [
        {"type": "Prepend", "prepend": BLANK},
        {"type": "Replace", "pattern": {"String": " "}, "content": BLANK},
    ]
    table |= {"normalizer": {"type": "Sequence", "normalizers": turns}, "decoder": _PIECES}
    table["model"] |= {"byte_fallback": True, "fuse_unk": True, "unk_token": names[pieces.unk_id()]}
    version = path.name.rpartition(".v")[2] if ".model.v" in path.name else "1"
    found = (("bos", pieces.bos_id()), ("eos", pieces.eos_id()), ("unk", pieces.unk_id()))
    return _files(table, {f"{key}_token": names[token] for key, token in found}, mistral_template(f"v{version}"))


def _table(names: list[str], merges: list[list[str]], controls: list[str], control_ids: list[int]) -> dict[str, Any]:
    """A tokenizer.json without what comes before and after the pairs; texts begin with the first of <s>."""
    beginning = controls.index("<s>")
    table: dict[str, Any] = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": token, "content": name, "special": True, **_WITHOUT_BLANKS}
            for token, name in zip(control_ids, controls, strict=True)
        ],
        "normalizer": None,
        "pre_tokenizer": None,
        "post_processor": _begins_with("<s>", control_ids[beginning]),
        "decoder": None,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "vocab": {name: token for token, name in reversed(list(enumerate(names)))},
            "merges": merges,
        },
    }
    return table


def _begins_with(name: str, token: int) -> dict[str, Any]:
    special, text = {"SpecialToken": {"id": name, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}
    second = {"Sequence": {"id": "B", "type_id": 1}}
    return {
        "type": "TemplateProcessing",
        "single": [special, text],
        "pair": [special, text, second],
        "special_tokens": {name: {"id": name, "ids": [token], "tokens": [name]}},
    }


def _completed(parts: Parts, header: Header) -> dict[str, Any]:
    """The table of a GGUF file with what a text begins with, and how pieces become text."""
    is_usual = header.text("tokenizer.ggml.model") == "llama" or cutter_name(header) in _BEGIN
    begins = header.metadata.get("tokenizer.ggml.add_bos_token", is_usual)
    name = parts.special.get("bos_token", "")
    ids = {entry["content"]: entry["id"] for entry in parts.table["added_tokens"]}
    by_pieces = parts.table["decoder"]["type"] == "ByteFallback"
    return parts.table | {
        "post_processor": _begins_with(name, ids[name]) if begins and name in ids else None,
        "decoder": _PIECES if by_pieces else parts.table["decoder"],
    }


def _files(table: dict[str, Any], special: dict[str, str], template: str) -> dict[str, str]:
    config: dict[str, object] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        **special,
    }
    if template:
        config["chat_template"] = template
    return {
        HUGGING_FACE_FILE: json.dumps(table, ensure_ascii=False),
        CONFIG_FILE: json.dumps(config, ensure_ascii=False, indent=2),
    }
