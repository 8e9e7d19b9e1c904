"""A progress bar with an estimate of the time left, on stderr."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

_BAR_WIDTH = 20  # leaves room for phases and rates on 80 columns


class Advance(Protocol):
    """Moves a bar."""

    def __call__(self, done: int, total: int, phase: str = "", rate: str = "") -> None:
        """Take the work done so far and the whole of it, what is being done, and how fast."""


@contextmanager
def progress_bar(description: str) -> Iterator[Advance]:
    """Show a bar while the block runs, and give what moves it."""
    columns = (TextColumn("{task.description}"), BarColumn(_BAR_WIDTH), TaskProgressColumn(), TimeElapsedColumn())
    last = ("left:", TimeRemainingColumn(), TextColumn("{task.fields[rate]}"))
    with Progress(*columns, *last, console=Console(stderr=True)) as progress:
        task = progress.add_task(description, total=None, rate="")

        def advance(done: int, total: int, phase: str = "", rate: str = "") -> None:
            progress.update(task, completed=done, total=total, description=phase or description, rate=rate)

        yield advance
