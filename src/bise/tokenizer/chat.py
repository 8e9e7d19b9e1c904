"""Text and conversations to ids, and back: the one renderer that tuning and serving share.

Training a turn and asking for it use the same ids: `render(turns so far, for_completion=True)` is a prefix of
`render(the whole conversation, for_completion=False)`. Text never becomes a control token, whatever it says.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bise.errors import InputError
from bise.messages import Conversation
from bise.runs import sha256_file
from bise.tokenizer.tekken import FILE_NAME

if TYPE_CHECKING:  # mistral-common takes most of a second to import: only `load` pays for it
    from bise.tokenizer.instruct import InstructTemplate


@dataclass(frozen=True)
class Rendered:
    """A conversation as ids; `loss_mask` is True exactly on what the assistant says, with its closing EOS."""

    ids: list[int]
    loss_mask: list[bool]


class ChatTokenizer:
    """A vocabulary with its chat template; make one with `ChatTokenizer.load`."""

    def __init__(self, template: InstructTemplate, path: Path) -> None:
        self._template = template
        self._tekkenizer = template.tekkenizer
        self.path = path
        self.sha256 = sha256_file(path)
        self.vocab_size = self._tekkenizer.n_words
        self.num_control_tokens = self._tekkenizer.num_special_tokens
        self.bos_id = self._tekkenizer.bos_id
        self.eos_id = self._tekkenizer.eos_id
        self._token_bytes = [self._tekkenizer.id_to_byte_piece(token_id) for token_id in range(self.vocab_size)]

    @classmethod
    def load(cls, path: Path) -> ChatTokenizer:
        """Load a tekken.json, or the one in a directory.

        Raises:
            InputError: the file is missing, damaged, or made for other templates than v13.
        """
        file = path / FILE_NAME if path.is_dir() else path
        if not file.is_file():
            raise InputError(f"There is no tokenizer at {file}. Train one with `bise tokenizer train RECIPE`.")
        from bise.tokenizer.instruct import load_template

        return cls(load_template(file), file)

    def encode(self, text: str) -> list[int]:
        """Encode plain text, without BOS or EOS; text that looks like a control token stays text."""
        return self._tekkenizer.encode(text, bos=False, eos=False)

    def decode(self, ids: Iterable[int]) -> str:
        """Text of the ids; control tokens are left out, and bytes that are no UTF-8 become U+FFFD."""
        return b"".join(map(self._token_bytes.__getitem__, ids)).decode("utf-8", errors="replace")

    def token_bytes(self, token_id: int) -> bytes:
        """Bytes of one token, b"" for a control token."""
        return self._token_bytes[token_id]

    def token_name(self, token_id: int) -> str:
        """One token for a human reader: a control token's name, else its text, with U+FFFD for part of a character."""
        return self._tekkenizer.id_to_piece(token_id)

    def render(self, conversation: Conversation, *, for_completion: bool) -> Rendered:
        """Render a conversation, to be completed by the model or to train on.

        For completion the ids end where the assistant's turn begins; a trailing assistant message is left open, to be
        continued. For training the last message must be the assistant's. The template joins neighbouring messages of
        one role by an empty line, drops spaces at the end of what the assistant says, and rewrites the arguments of
        tool calls in one JSON style.

        Raises:
            InputError: the order or content of the messages has no place in the template.
        """
        rendered = Rendered(ids=[self.bos_id], loss_mask=[False])
        for ids, by_assistant in self._template.segments(conversation, for_completion):
            rendered.ids.extend(ids)
            rendered.loss_mask.extend([by_assistant] * len(ids))
        return rendered
