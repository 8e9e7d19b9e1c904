"""Progress for a log or a pipe, where bars cannot be drawn: a line now and then."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

_FIRST_S = 3.0  # soon enough to see that it moves, and for how long
_EVERY_S = 10.0  # then; of long work, after each twentieth of the time that it has taken
_WORTH_A_LINE_S = 2.0  # shorter work ends without one


@dataclass
class _Task:
    begun: float  # seconds, as all times here
    already: int  # what was done before
    told: float


class Lines:
    """A reporter that writes whole lines on stderr."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._tasks: dict[str, _Task] = {}

    def say(self, text: str) -> None:
        """Write a sentence."""
        print(text, file=sys.stderr, flush=True)

    def advance(self, task: str, done: int, total: int, note: str = "") -> None:
        """Write how far a task is, if it is time."""
        now = self._clock()
        seen = self._tasks.setdefault(task, _Task(now, done, now))
        elapsed = now - seen.begun
        between = _FIRST_S if seen.told == seen.begun else max(_EVERY_S, elapsed / 20)
        wait = _WORTH_A_LINE_S if done >= total else between
        if now - seen.told < wait:
            return
        seen.told = now
        self.say(f"{task}: {_how_far(seen, done, total, elapsed)}{f', {note}' if note else ''}")


def _how_far(seen: _Task, done: int, total: int, elapsed: float) -> str:
    if done >= total:
        return f"done after {_duration(elapsed)}"
    share = f"{100 * done / total:.0f} %"
    if done <= seen.already:
        return share
    return f"{share}, about {_duration(elapsed / (done - seen.already) * (total - done))} left"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
