"""An answer's text from its tokens, up to the first stop string: tokens cut both characters and stop strings anywhere."""

from collections.abc import Iterable, Sequence

from bise.engine.text import TextStream, TokenBytes


class AnswerText:
    """What may be shown of an answer while its tokens come."""

    def __init__(self, tokenizer: TokenBytes, stops: Sequence[str]) -> None:
        self._characters = TextStream(tokenizer)
        self._stops = StopStrings(stops)

    @property
    def stopped(self) -> bool:
        """Whether a stop string has come: the text is complete."""
        return self._stops.found

    def feed(self, token_ids: Iterable[int], *, is_last: bool) -> str:
        """Take the next tokens; returns the text that is certain now, all of it with the last."""
        text = self._characters.feed(token_ids)
        if not is_last:
            return self._stops.feed(text)
        text = self._stops.feed(text + self._characters.finish())
        return text + self._stops.flush()


class StopStrings:
    """Passes text on up to the first stop string, and holds back what may still become one.

    Of several, the one that is complete first wins; of those complete at the same character, the longest. What comes
    out is therefore the same however the text was cut into pieces.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._held = ""
        self.found = False

    def feed(self, text: str) -> str:
        """Take the next piece; returns what is certainly not part of a stop string. Nothing after one was found."""
        if self.found:
            return ""
        text = self._held + text
        ends = [(at + len(stop), -len(stop)) for stop in self._stops if (at := text.find(stop)) >= 0]
        if ends:
            self.found = True
            end, negative_length = min(ends)
            self._held = ""
            return text[: end + negative_length]
        keep = max((_overlap(text, stop) for stop in self._stops), default=0)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def flush(self) -> str:
        """End the text: what was held back was no stop string after all."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, stop: str) -> int:
    """The length of the longest end of `text` that is a beginning of `stop`, but not all of it."""
    for length in range(min(len(text), len(stop) - 1), 0, -1):
        if text.endswith(stop[:length]):
            return length
    return 0
