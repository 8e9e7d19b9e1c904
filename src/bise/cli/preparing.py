"""Tell that the engine prepares itself for this processor: it takes a while, once."""

import click


def tell_preparing(kernel: str, done: int, total: int) -> None:
    """Write one line on stderr for each kernel that is compiled."""
    click.echo(f"Preparing the engine for this processor, once: {done} of {total} ({kernel})", err=True)
