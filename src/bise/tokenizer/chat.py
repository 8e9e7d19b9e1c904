"""Text and conversations to ids, and back: the one renderer that tuning and serving share.

Training a turn and asking for it use the same ids: `render(turns so far, for_completion=True)` is a prefix of
`render(the whole conversation, for_completion=False)`. Text never becomes a control token, whatever it says.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bise.errors import InputError
from bise.gguf import is_gguf
from bise.messages import Conversation
from bise.runs import sha256_file
from bise.tokenizer.tekken import FILE_NAME

HUGGING_FACE_FILE = "tokenizer.json"
GGUF_FILE = "tokenizer.gguf"  # the vocabulary of a GGUF model alone
# Of other families, before the prefix, the suffix, and what is to be filled in.
_FILLING_IN = (
    ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"),  # Qwen
    ("<fim_prefix>", "<fim_suffix>", "<fim_middle>"),  # StarCoder, SmolLM
    ("▁<PRE>", "▁<SUF>", "▁<MID>"),  # Code Llama
)
_SENTENCEPIECE = "tokenizer.model"  # Mistral's carry the version of their templates behind it, as in tokenizer.model.v3


@dataclass(frozen=True)
class Rendered:
    """A conversation as ids; `loss_mask` is True exactly on what the assistant says, with its closing EOS."""

    ids: list[int]
    loss_mask: list[bool]


class Codec(Protocol):
    """A vocabulary with its chat template, as one kind of file holds them."""

    @property
    def token_bytes(self) -> Sequence[bytes]:
        """Bytes of each token, b"" for control tokens."""

    @property
    def control_tokens(self) -> Mapping[int, str]:
        """Tokens that text never becomes, with their names."""

    @property
    def bos_id(self) -> int | None:
        """What a text begins with, if anything."""

    @property
    def stop_ids(self) -> tuple[int, ...]:
        """What may end the assistant's turn; the first also ends a text."""

    @property
    def drops_first_space(self) -> bool:
        """Whether the space that the first token of a text begins with is the vocabulary's own, as in SentencePiece."""

    @property
    def files(self) -> tuple[Path, ...]:
        """All files of the tokenizer, the vocabulary first."""

    def encode(self, text: str) -> list[int]:
        """Ids of plain text."""

    def segments(self, conversation: Conversation, for_completion: bool) -> Iterator[tuple[list[int], bool]]:
        """The ids of a conversation in pieces, and whether the assistant wrote each."""


class ChatTokenizer:
    """A vocabulary with its chat template; make one with `ChatTokenizer.load`."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._token_bytes = codec.token_bytes
        self._control_ids = {name: token_id for token_id, name in codec.control_tokens.items()}
        self._control_names = re.compile("(" + ("|".join(map(re.escape, self._control_ids)) or "(?!)") + ")")
        self.files = codec.files
        self.path = codec.files[0]
        self.sha256 = sha256_file(self.path)
        self.vocab_size = len(codec.token_bytes)
        self.num_control_tokens = len(codec.control_tokens)
        self.stop_ids = codec.stop_ids
        self.eos_id = codec.stop_ids[0]
        self.bos_id = self.eos_id if codec.bos_id is None else codec.bos_id  # what stands between documents
        self.drops_first_space = codec.drops_first_space

    @classmethod
    def load(cls, path: Path) -> ChatTokenizer:
        """Load a tekken.json, tokenizer.model, tokenizer.json or GGUF file, or the one in a directory.

        Raises:
            InputError: the file is missing, damaged, or of a kind that Bise does not read.
        """
        file = _find(path) if path.is_dir() else path
        if not file.is_file():
            raise InputError(f"There is no tokenizer at {file}. Train one with `bise tokenizer train RECIPE`.")
        return cls(_load(file))

    def encode(self, text: str) -> list[int]:
        """Encode plain text, without BOS or EOS; text that looks like a control token stays text."""
        return self._codec.encode(text)

    def begin(self, ids: list[int]) -> list[int]:
        """The ids of a text, after the token that the model's texts begin with, if there is one."""
        return ids if self._codec.bos_id is None else [self._codec.bos_id, *ids]

    def encode_raw(self, text: str) -> list[int]:
        """Encode text in which the names of control tokens, such as `</s>`, stand for these tokens.

        Only for programs that build prompts of ids themselves; what people write goes through `encode`.
        """
        ids: list[int] = []
        for place, piece in enumerate(self._control_names.split(text)):
            ids += [self._control_ids[piece]] if place % 2 else self.encode(piece) if piece else []
        return ids

    def control_id(self, name: str) -> int | None:
        """The id of a control token, or None when there is no such token."""
        return self._control_ids.get(name)

    def fill_in_the_middle(self, prefix: str, suffix: str) -> list[int]:
        """The prompt after which the text between prefix and suffix comes; the model must have been trained for it.

        Raises:
            InputError: the vocabulary lacks the control tokens.
        """
        before, after = self.control_id("[PREFIX]"), self.control_id("[SUFFIX]")
        if before is not None and after is not None:
            return [self.bos_id, after, *self.encode(suffix), before, *self.encode(prefix)]
        for names in _FILLING_IN:
            ids = [token for name in names if (token := self.control_id(name)) is not None]
            if len(ids) == len(names):
                before, after, middle = ids
                return self.begin([before, *self.encode(prefix), after, *self.encode(suffix), middle])
        raise InputError("This model's vocabulary has no tokens for filling in the middle. Use another model.")

    def decode(self, ids: Iterable[int]) -> str:
        """Text of the ids; control tokens are left out, and bytes that are no UTF-8 become U+FFFD."""
        content = b"".join(map(self.token_bytes, ids))
        return (content.removeprefix(b" ") if self.drops_first_space else content).decode("utf-8", errors="replace")

    def token_bytes(self, token_id: int) -> bytes:
        """Bytes of one token, b"" for a control token and for what a model has beyond the vocabulary."""
        return self._token_bytes[token_id] if token_id < self.vocab_size else b""

    def token_name(self, token_id: int) -> str:
        """One token for a human reader: a control token's name, else its text, with U+FFFD for part of a character."""
        name = self._codec.control_tokens.get(token_id)
        return self.token_bytes(token_id).decode("utf-8", errors="replace") if name is None else name

    def control_tokens(self) -> list[str]:
        """The names of the control tokens in order of their ids."""
        return [name for _, name in sorted(self._codec.control_tokens.items())]

    def render(self, conversation: Conversation, *, for_completion: bool) -> Rendered:
        """Render a conversation, to be completed by the model or to train on.

        For completion the ids end where the assistant's turn begins; a trailing assistant message is left open, to be
        continued. For training the last message must be the assistant's. Mistral's templates join neighbouring
        messages of one role by an empty line, drop spaces at the end of what the assistant says, and rewrite the
        arguments of tool calls in one JSON style.

        Raises:
            InputError: the order or content of the messages has no place in the template.
        """
        rendered = Rendered(ids=[], loss_mask=[])
        for ids, by_assistant in self._codec.segments(conversation, for_completion):
            rendered.ids.extend(ids)
            rendered.loss_mask.extend([by_assistant] * len(ids))
        return rendered


def _load(file: Path) -> Codec:
    """Each library takes most of a second to import: only who needs it pays for it."""
    if ".model" in file.suffixes:
        from bise.tokenizer.sentencepiece import SentencePieceCodec

        return SentencePieceCodec(file)
    if file.suffix == ".gguf" or is_gguf(file):
        from bise.tokenizer.gguf import load_gguf

        return load_gguf(file)
    if file.name == HUGGING_FACE_FILE:
        from bise.tokenizer.directory import load_directory

        return load_directory(file)
    from bise.tokenizer.instruct import TekkenCodec

    return TekkenCodec(file)


def _find(directory: Path) -> Path:
    """The tokenizer of a directory: Mistral's own files go before conversions of them."""
    names = [FILE_NAME, HUGGING_FACE_FILE, GGUF_FILE, _SENTENCEPIECE]
    versioned = sorted(directory.glob(f"{_SENTENCEPIECE}.v*"))
    found = [path for path in (directory / names[0], *versioned, *(directory / n for n in names[1:])) if path.is_file()]
    return found[0] if found else directory / FILE_NAME
