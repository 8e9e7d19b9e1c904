"""`bise serve`: the chat and the API on this machine."""

from pathlib import Path

import click


@click.command("serve")
@click.option("-m", "--model", default=None, help="Name or path of a model; without it, the demonstration model.")
@click.option("--host", default="127.0.0.1", show_default=True, help="An address of this machine's loopback.")
@click.option("--port", default=8421, show_default=True, type=int, help="0 takes any free port.")
@click.option(
    "--upstreams",
    type=click.Path(path_type=Path),
    default=None,
    help="A TOML file of other servers whose models are offered, too.",
)
@click.option(
    "--draft", default=None, help="A smaller model of the same family, which guesses next tokens for the model."
)
@click.option("--open", "open_page", is_flag=True, help="Open the chat in the browser.")
def command(
    model: str | None, host: str, port: int, upstreams: Path | None, draft: str | None, open_page: bool
) -> None:
    """Serve the chat page and the API until Ctrl-C."""
    import asyncio
    import logging
    import webbrowser

    from bise.app.start import Announcements, serve
    from bise.cli.preparing import preparing
    from bise.config import has_display
    from bise.errors import InputError
    from bise.server.upstream import read_upstreams
    from bise.weights.adapters import find_model_and_adapter
    from bise.weights.store import DEFAULT_MODEL

    def address(text: str) -> None:
        click.echo(f"The chat, for one browser: {text}")
        if open_page and has_display():
            webbrowser.open(text)

    def ready(name: str) -> None:
        click.echo(f"{name} is ready. Ctrl-C ends the server.", err=True)

    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    directory, adapter = find_model_and_adapter(model or DEFAULT_MODEL)
    if adapter:
        raise InputError(f"A model is served with all its adapters. Type: bise serve --model {directory.name}")
    guide = find_model_and_adapter(draft)[0] if draft is not None else None
    others = read_upstreams(upstreams) if upstreams is not None else ()
    asyncio.run(serve(directory, host, port, Announcements(address, preparing(), ready), others, guide))
