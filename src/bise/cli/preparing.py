"""Tell that the engine prepares itself for this processor: it takes a while, once."""

import time
from collections.abc import Callable

import click

_PATIENCE_S = 2.0


def preparing() -> Callable[[str, int, int], None]:
    """Make a listener that writes a line on stderr for each kernel, when preparing takes more than a moment."""
    started = time.monotonic()

    def tell(kernel: str, done: int, total: int) -> None:
        if time.monotonic() - started > _PATIENCE_S:
            click.echo(f"Preparing the engine for this processor, once: {done + 1} of {total} ({kernel})", err=True)

    return tell
