"""Token ids to text as they come: the one place of the engine that knows bytes."""

import codecs
from collections.abc import Iterable
from typing import Protocol


class TokenBytes(Protocol):
    """The part of a tokenizer that streaming needs."""

    @property
    def drops_first_space(self) -> bool:
        """Whether the space that a text's first token begins with belongs to the vocabulary, not the text."""

    def token_bytes(self, token_id: int, /) -> bytes:
        """The bytes of one token; empty for control tokens."""
        ...


class TextStream:
    """Turns tokens into text at the borders of characters; a token may hold half of one."""

    def __init__(self, tokenizer: TokenBytes) -> None:
        self._tokenizer = tokenizer
        self._drops_space = tokenizer.drops_first_space
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def feed(self, token_ids: Iterable[int]) -> str:
        """The text that is now complete, possibly none; bytes that can never be UTF-8 become U+FFFD."""
        content = b"".join(self._tokenizer.token_bytes(token) for token in token_ids)
        if self._drops_space and content:
            content, self._drops_space = content.removeprefix(b" "), False
        return self._decoder.decode(content)

    def finish(self) -> str:
        """What is left at the end: U+FFFD for a character that was never completed."""
        return self._decoder.decode(b"", final=True)
