"""One answer in the making: what it says, thought and weighed so far, and how fast it came."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from bise.app.events import EventLog
from bise.server.backend import Finished, ScoredToken, Tally, TextDelta, ThinkingDelta
from bise.store.conversations import GENERATING
from bise.store.probabilities import MAX_TOKENS, KeptToken
from bise.store.turns import StoredMessage

_MEASURABLE_S = 0.02  # from the first token to the last: in less, it was the network that was fast


@dataclass
class Job:
    """One answer in the making."""

    owner: str
    conversation_id: str
    message: StoredMessage  # as it was opened, or as it ended
    events: EventLog
    pieces: list[str]  # of the text; an answer that is continued begins with what it said before
    thoughts: list[str]  # likewise
    tokens: list[ScoredToken] = field(default_factory=list)  # of the new text, when asked for
    tally: Tally = field(default_factory=Tally)
    started: float = field(default_factory=time.monotonic)
    first_token_at: float | None = None
    last_token_at: float | None = None
    thinking_since: float | None = None  # while it thinks
    thinking_s: float = 0.0  # before that
    queue_place: int = 0  # in the line of those that wait, as it was told last
    dropped_turns: int = 0
    ended_by: str | None = None  # STOPPED or INTERRUPTED, when somebody ended it
    writing: asyncio.Task[Finished] | None = None
    running: asyncio.Task[None] | None = None

    @classmethod
    def begin(cls, owner: str, conversation_id: str, message: StoredMessage, events: EventLog) -> "Job":
        """Take up an answer that is in the database."""
        pieces, thoughts = [message.content], [message.thinking or ""]
        job = cls(owner, conversation_id, message, events, list(filter(None, pieces)), list(filter(None, thoughts)))
        job.thinking_s = float((message.stats or {}).get("thinking_s") or 0.0)  # type: ignore[arg-type]
        return job

    @property
    def num_pieces(self) -> int:
        """Grows with whatever there is to keep."""
        return len(self.pieces) + len(self.thoughts)

    def take(self, delta: TextDelta | ThinkingDelta) -> None:
        """Take in the next piece, and publish it."""
        now = time.monotonic()
        self.first_token_at, self.last_token_at = self.first_token_at or now, now
        if isinstance(delta, ThinkingDelta):
            self.thinking_since = self.thinking_since or now
            self.thoughts.append(delta.text)
            self.events.publish("thinking", {"message_id": self.message.id, "text": delta.text})
            return
        self._stop_thinking(now)
        self.tokens += delta.tokens[: MAX_TOKENS - len(self.tokens)]
        if delta.text:
            self.pieces.append(delta.text)
            self.events.publish("delta", {"message_id": self.message.id, "text": delta.text})

    def tell_place(self) -> None:
        """Publish its number in the line, when that has changed and the answer has not begun."""
        if self.first_token_at is None and self.tally.queue_place != self.queue_place:
            self.queue_place = self.tally.queue_place
            self.events.publish("waiting", {"message_id": self.message.id, "queue_place": self.queue_place})

    def end(self, status: str) -> None:
        """Stop writing; what was written stays."""
        assert self.writing is not None
        if not self.writing.done():
            self.ended_by = self.ended_by or status
            self.writing.cancel()

    def told(self) -> StoredMessage:
        """The message as the events so far have told it."""
        thinking = "".join(self.thoughts) or None
        stats = self.stats() if self.message.status == GENERATING else self.message.stats
        return replace(self.message, content="".join(self.pieces), thinking=thinking, stats=stats)

    def overlay(self, kept: StoredMessage) -> StoredMessage:
        """The message as the events so far have told it, with what was thought of it as the database knows."""
        told = self.told()
        return replace(
            kept,
            content=told.content,
            thinking=told.thinking,
            status=told.status,
            finish_reason=told.finish_reason,
            error=told.error,
            error_facts=told.error_facts,
            stats=told.stats,
        )

    def stats(self) -> dict[str, object]:
        """How fast the answer comes: the speed is that of the tokens after the first, thoughts included.

        What came in one piece, as short answers of other servers do, has no speed that could be told.
        """
        first, last, num_tokens = self.first_token_at, self.last_token_at, self.tally.num_completion_tokens
        speed = None
        if first is not None and last is not None and last - first >= _MEASURABLE_S:
            speed = round((num_tokens - 1) / (last - first), 1)
        now = time.monotonic()
        thinking_s = self.thinking_s + (now - self.thinking_since if self.thinking_since is not None else 0.0)
        return {
            "first_token_s": round(first - self.started, 3) if first is not None else None,
            "tokens": num_tokens or None,
            "tokens_per_s": speed,
            "dropped_turns": self.dropped_turns,
            "thinking_s": round(thinking_s, 1) if self.thoughts else None,
            "queue_place": self.queue_place if first is None else 0,
        }

    def kept_tokens(self) -> list[KeptToken]:
        """The tokens of the new text with their places in the whole, as far as the text is made of them."""
        return place_tokens(self.tokens, "".join(self.pieces), len(self.message.content.encode()))

    def close(self, ended: StoredMessage) -> None:
        """Take over how it ended."""
        self._stop_thinking(time.monotonic())
        self.message = ended

    def _stop_thinking(self, now: float) -> None:
        if self.thinking_since is not None:
            self.thinking_s += now - self.thinking_since
            self.thinking_since = None


def place_tokens(tokens: Sequence[ScoredToken], text: str, first_byte: int) -> list[KeptToken]:
    """Find where tokens stand in a text, from a byte of it on; the first that does not fit, and all after it, is left out.

    Tokens without a log probability are left out too, but not those after them.
    """
    if not tokens:  # as ever, unless somebody wants to look inside: the places of a whole text cost something
        return []
    data, places = text.encode(), _utf16_places(text)
    placed, here = [], first_byte
    for token in tokens:
        end = here + len(token.data)
        if data[here:end] != token.data:
            break
        if token.data and token.logprob is not None:
            top = tuple((other.text, other.logprob) for other in token.top if other.logprob is not None)
            placed.append(KeptToken(places[here][0], places[end - 1][1], token.text, token.logprob, top))
        here = end
    return placed


def _utf16_places(text: str) -> list[tuple[int, int]]:
    """For each byte of a text in UTF-8, where its character begins and ends in UTF-16 code units."""
    places: list[tuple[int, int]] = []
    here = 0
    for character in text:
        end = here + (2 if ord(character) > 0xFFFF else 1)
        places += [(here, end)] * len(character.encode())
        here = end
    return places
