"""The tekken file: a vocabulary as mistral-common reads it, for its v13 instruct templates.

A tekken file holds three things: a regular expression that cuts text into pieces, byte strings whose position is their
rank, and control tokens, which take the first ids. Encoding merges, within a piece, the neighbours whose joined bytes
have the lowest rank, until none has one.
"""

import base64
import json
from collections.abc import Sequence
from pathlib import Path

from bise.runs import write_atomically

FILE_NAME = "tekken.json"
VERSION = "v13"

# FIM in mistral-common encodes "☺" + suffix and drops two tokens: this character must always be exactly two.
FIM_MARKER = "☺"

# Words with the sign before them, by case, as Tekken cuts them; then what differs and why:
# - ☺ is a piece of its own, so that no merge joins it to the suffix behind it;
# - digits stand alone: numbers of any length are spelled the same way, and groups of three would take one entry in
#   eight of a small vocabulary;
# - runs of blanks are bounded: unbounded, the matcher fails on a message of a million spaces.
# Tried on five European languages, 8,192 entries: to let only a space lead a word costs 1.5 % more tokens, to cut
# elisions behind the apostrophe as well (l'|eau) 0.9 %, and a matcher that knows English contractions is four times slower.
_UPPER = r"\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}"
_LOWER = r"\p{Ll}\p{Lm}\p{Lo}\p{M}"
PATTERN = "|".join(
    [
        FIM_MARKER,
        rf"[^\r\n\p{{L}}\p{{N}}{FIM_MARKER}]?[{_UPPER}]*[{_LOWER}]+",
        rf"[^\r\n\p{{L}}\p{{N}}{FIM_MARKER}]?[{_UPPER}]+[{_LOWER}]*",
        r"\p{N}",
        rf" ?[^\s\p{{L}}\p{{N}}{FIM_MARKER}]+[\r\n/]*",
        r"\s{0,128}[\r\n]+",
        r"\s{1,128}(?!\S)",
        r"\s{1,128}",
    ]
)

# The first twenty have the ids they have in the official files. The reserve lets a model learn new ones later without
# changing the meaning of any id.
_NAMED_CONTROL_TOKENS = (
    "<unk>",
    "<s>",
    "</s>",
    "[INST]",
    "[/INST]",
    "[AVAILABLE_TOOLS]",
    "[/AVAILABLE_TOOLS]",
    "[TOOL_RESULTS]",
    "[/TOOL_RESULTS]",
    "[TOOL_CALLS]",
    "[IMG]",
    "<pad>",
    "[IMG_BREAK]",
    "[IMG_END]",
    "[PREFIX]",
    "[MIDDLE]",
    "[SUFFIX]",
    "[SYSTEM_PROMPT]",
    "[/SYSTEM_PROMPT]",
    "[TOOL_CONTENT]",
    "[ARGS]",
    "[CALL_ID]",
    "[THINK]",
    "[/THINK]",
)
_NUM_CONTROL_TOKENS = 32
CONTROL_TOKENS = _NAMED_CONTROL_TOKENS + tuple(
    f"<SPECIAL_{rank}>" for rank in range(len(_NAMED_CONTROL_TOKENS), _NUM_CONTROL_TOKENS)
)


def write_tekken(tokens: Sequence[bytes], path: Path) -> None:
    """Write a vocabulary, in order of rank and without its control tokens, as a tekken file.

    The first 256 tokens are the single bytes in order; ids are ranks plus the number of control tokens.
    """
    assert list(tokens[:256]) == [bytes([byte]) for byte in range(256)]
    table = {
        "config": {
            "pattern": PATTERN,
            "num_vocab_tokens": len(tokens),
            "default_vocab_size": len(tokens) + len(CONTROL_TOKENS),
            "default_num_special_tokens": len(CONTROL_TOKENS),
            "version": VERSION,
        },
        "vocab": [
            {"rank": rank, "token_bytes": base64.b64encode(token).decode("ascii"), "token_str": _as_text(token)}
            for rank, token in enumerate(tokens)
        ],
        "special_tokens": [
            {"rank": rank, "token_str": token, "is_control": True} for rank, token in enumerate(CONTROL_TOKENS)
        ],
    }
    write_atomically(path, json.dumps(table, ensure_ascii=False, separators=(",", ":")) + "\n")


def _as_text(token: bytes) -> str | None:
    """The token for a human reader, or None where it ends within a character."""
    try:
        return token.decode("utf-8")
    except UnicodeDecodeError:
        return None
