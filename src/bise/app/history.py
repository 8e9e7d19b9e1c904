"""What of a conversation the model is sent: all of it, or the newest turns that its context holds."""

from collections.abc import Sequence
from dataclasses import dataclass

from bise.messages import Conversation, Message
from bise.server.backend import Backend, ModelInfo
from bise.store.turns import StoredMessage

_ANSWER_SHARE = 4  # at least a quarter of the context is kept for the answer, when the newest message leaves that much
_MAX_ANSWER_TOKENS = 1024  # but never more than this


@dataclass(frozen=True)
class History:
    """The messages to send, and how many of the oldest turns were left out."""

    conversation: Conversation
    dropped_turns: int


def spoken(messages: Sequence[StoredMessage]) -> tuple[Message, ...]:
    """What was said, with better answers in their places: an answer that failed before its first word is none."""
    return tuple(Message(message.role, message.text) for message in messages if message.text)


async def fit(backend: Backend, model: ModelInfo, messages: Sequence[Message]) -> History:
    """Keep the system's messages and as many of the newest turns as fit; a turn begins with a user's message.

    The newest turn is always kept: when even that is too long, the backend refuses it and says so with the numbers.
    """
    system = tuple(message for message in messages if message.role == "system")
    rest = [message for message in messages if message.role != "system"]
    starts = [index for index, message in enumerate(rest) if message.role == "user"]
    room = model.context_length - min(model.context_length // _ANSWER_SHARE, _MAX_ANSWER_TOKENS)

    async def fits(dropped: int) -> bool:
        return await backend.count_tokens(model.id, without(dropped)) <= room

    def without(dropped: int) -> Conversation:
        return Conversation((*system, *rest[starts[dropped] :]))

    low, high = 0, len(starts) - 1  # what must be dropped lies in between
    if await fits(0):
        high = 0
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if await fits(middle) else (middle + 1, high)
    return History(without(high), high)
