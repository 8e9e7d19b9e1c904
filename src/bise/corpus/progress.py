"""How far a curation run is: its phases one after another as one progress, with the rate at which text goes through."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bise.corpus.units import Unit


@dataclass(frozen=True)
class Standing:
    """How far a run is; work is counted in stored bytes, weighted by how long a phase takes for each."""

    phase: str
    done: int
    total: int
    text_bytes: int  # UTF-8, gone through in this phase since this start
    seconds: float  # since the phase began

    @property
    def text_mb_per_s(self) -> float:
        """Rate of this phase."""
        return self.text_bytes / 1e6 / self.seconds if self.seconds else 0.0


Progress = Callable[[Standing], None]


class Meter:
    """Adds up the work of all phases."""

    def __init__(self, units: Sequence[Unit], weights: Mapping[str, int], progress: Progress | None) -> None:
        """Take the phases in their order, each with the time it takes for a stored byte, compared with the others."""
        self.text_bytes = 0  # of all units; set when they are examined
        self._size = sum(unit.size_bytes for unit in units)
        self._weights, self._progress = weights, progress

    def units(self, phase: str, unfinished: Sequence[Unit]) -> Callable[[int, int], None]:
        """Begin a phase; what it returns takes the stored bytes done of its units, and the bytes of text.

        Units finished by an earlier start count as done. Phases that do not count text give 0, and it is told from the
        share that is done.
        """
        before = self._size - sum(unit.size_bytes for unit in unfinished)
        began = time.monotonic()
        names = list(self._weights)
        earlier = self._size * sum(self._weights[name] for name in names[: names.index(phase)])

        def advance(done: int, text_bytes: int) -> None:
            text = text_bytes or self.text_bytes * done // max(1, self._size)
            done_in_all = earlier + self._weights[phase] * (before + done)
            total = self._size * sum(self._weights.values())
            if self._progress:
                self._progress(Standing(phase, done_in_all, total, text, time.monotonic() - began))

        advance(0, 0)
        return advance

    def share(self, phase: str, units: Sequence[Unit]) -> Callable[[float], None]:
        """Begin a phase that tells the share it has done, from 0 to 1."""
        advance = self.units(phase, units)
        return lambda share: advance(int(share * self._size), 0)
