"""What a long run tells whoever watches: sentences, and how far each part of the work is."""

from typing import Protocol


class Reporter(Protocol):
    """Receives the progress of a run; the command line draws bars, tests listen or stay silent."""

    def say(self, text: str) -> None:
        """One sentence worth keeping."""

    def advance(self, task: str, done: int, total: int, note: str = "") -> None:
        """`done` of `total` units of a named task, and the figures of the moment."""


class Silent:
    """A reporter that tells nobody."""

    def say(self, text: str) -> None:
        """Nothing."""

    def advance(self, task: str, done: int, total: int, note: str = "") -> None:
        """Nothing."""
