"""What `bise train` and `bise tune` show while they run and when they end."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.progress import TimeRemainingColumn as TimeLeftColumn

from bise.cli.lines import Lines
from bise.train.report import Reporter


class Bars:
    """A reporter that draws a bar for each task on stderr."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def say(self, text: str) -> None:
        """Print a sentence above the bars."""
        self._progress.console.print(text, highlight=False, soft_wrap=True)

    def advance(self, task: str, done: int, total: int, note: str = "") -> None:
        """Move a task's bar."""
        if task not in self._tasks:
            self._tasks[task] = self._progress.add_task(task, note="")
        self._progress.update(self._tasks[task], completed=done, total=total, note=note)


@contextmanager
def watching() -> Iterator[Reporter]:
    """Show bars on stderr while the block runs, or lines where stderr is no terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield Lines()
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[note]}"))
    with Progress(*columns, TimeElapsedColumn(), "left:", TimeLeftColumn(), console=console) as progress:
        yield Bars(progress)


def summary(facts: Mapping[str, Any]) -> str:
    """The figures of a finished run as lines of text."""
    lines = [
        f"parameters {facts['parameters']:>14,}",
        f"tokens     {facts['tokens']:>14,}",
        f"steps      {facts['steps']:>14,}",
        f"seconds    {facts['training_seconds']:>14,.0f}",
        f"loss       {facts['loss']:>14.3f} {facts['loss_unit']}",
        f"of peak    {100 * facts['mfu']:>14.1f} % of {facts['peak_flops_per_s'] / 1e9:,.0f} GFLOP/s",
        *(f"{name:<11}{facts[key]:>14}" for name, key in (("kWh", "energy_kwh"), ("cost", "cost")) if key in facts),
    ]
    for name, after in facts["held_out"].items():
        before = facts["held_out_before"][name]
        told = (f"{key.replace('_', ' ')} {before[key]:.3f} -> {value:.3f}" for key, value in after.items())
        lines.append(f"held out {name:<12} {', '.join(told)}")
    return "\n".join(lines)
