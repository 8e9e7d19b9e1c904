"""Stop strings: an answer's text up to the first of them, however it comes in pieces."""

from collections.abc import Sequence


class StopStrings:
    """Passes text on up to the first stop string, and holds back what may still become one.

    Of several, the one that is complete first wins; of those complete at the same character, the longest. What comes
    out is therefore the same however the text was cut into pieces.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._held = ""
        self.found = False
        self.match = ""  # the one that was found

    def feed(self, text: str) -> str:
        """Take the next piece; returns what is certainly not part of a stop string. Nothing after one was found."""
        if self.found:
            return ""
        text = self._held + text
        ends = [(at + len(stop), -len(stop), stop) for stop in self._stops if (at := text.find(stop)) >= 0]
        if ends:
            self.found = True
            end, negative_length, self.match = min(ends)
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
