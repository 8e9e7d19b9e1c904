"""A progress bar with an estimate of the time left, on stderr; in a log or a pipe, a line now and then."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from bise.cli.lines import Lines

_BAR_WIDTH = 20  # leaves room for phases and rates on 80 columns


class Advance(Protocol):
    """Moves a bar."""

    def __call__(self, done: int, total: int, phase: str = "", rate: str = "") -> None:
        """Take the work done so far and the whole of it, what is being done, and how fast."""


@contextmanager
def progress_bar(description: str) -> Iterator[Advance]:
    """Show a bar while the block runs, or lines where stderr is no terminal, and give what moves it."""
    console = Console(stderr=True)
    if not console.is_terminal:
        lines = Lines()
        yield lambda done, total, phase="", rate="": lines.advance(phase or description, done, total, rate)
        return
    columns = (TextColumn("{task.description}"), BarColumn(_BAR_WIDTH), TaskProgressColumn(), TimeElapsedColumn())
    last = ("left:", TimeRemainingColumn(), TextColumn("{task.fields[rate]}"))
    with Progress(*columns, *last, console=console) as progress:
        task = progress.add_task(description, total=None, rate="")

        def advance(done: int, total: int, phase: str = "", rate: str = "") -> None:
            progress.update(task, completed=done, total=total, description=phase or description, rate=rate)

        yield advance
