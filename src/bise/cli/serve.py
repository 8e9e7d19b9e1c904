"""`bise serve`: the chat and the API, on this machine or for others."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from bise.app.start import Announcements

_FILE = click.Path(path_type=Path)


@click.command("serve")
@click.option("-m", "--model", default=None, help="Name or path of a model; without it, the demonstration model.")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on; others need accounts.")
@click.option("--port", default=8421, show_default=True, type=int, help="0 takes any free port.")
@click.option(
    "--url", default="", help="How others reach it, for example through a TLS proxy: https://chat.example.org"
)
@click.option(
    "--upstreams", type=_FILE, default=None, help="A TOML file of other servers whose models are offered, too."
)
@click.option(
    "--draft", default=None, help="A smaller model of the same family, which guesses next tokens for the model."
)
@click.option("--settings", "settings_file", type=_FILE, default=None, help="A TOML file of bounds and logs.")
@click.option("--open", "open_page", is_flag=True, help="Open the chat in the browser.")
def command(
    model: str | None,
    host: str,
    port: int,
    url: str,
    upstreams: Path | None,
    draft: str | None,
    settings_file: Path | None,
    open_page: bool,
) -> None:
    """Serve the chat page and the API until Ctrl-C. On this machine alone, unless --host or --url says otherwise."""
    import asyncio

    from bise.app.start import Place, serve
    from bise.config import load_recipe
    from bise.errors import InputError
    from bise.server.settings import ServerSettings
    from bise.server.upstream import read_upstreams
    from bise.weights.adapters import find_model_and_adapter
    from bise.weights.store import DEFAULT_MODEL

    settings = load_recipe(settings_file, ServerSettings) if settings_file is not None else ServerSettings()
    _set_up_logs(settings.log_requests)
    directory, adapter = find_model_and_adapter(model or DEFAULT_MODEL)
    if adapter:
        raise InputError(f"A model is served with all its adapters. Type: bise serve --model {directory.name}")
    guide = find_model_and_adapter(draft)[0] if draft is not None else None
    others = read_upstreams(upstreams) if upstreams is not None else ()
    asyncio.run(serve(directory, Place(host, port, url), _announcements(open_page), others, settings, guide))


def _announcements(open_page: bool) -> "Announcements":
    import webbrowser

    from bise.app.start import Announcements
    from bise.cli.preparing import preparing
    from bise.config import has_display

    def address(root: str, token: str, setup_code: str) -> None:
        if not token:
            click.echo(f"For accounts and keys: {root}")
            if setup_code:
                click.echo(
                    "There is no admin yet. Open the address and make the account of the one who answers for it."
                )
                click.echo(f"The code for that, which works once: {setup_code}")
            else:
                click.echo(f"Let a browser in with: bise admin users link NAME --url {root}", err=True)
            if root.startswith("http://"):
                click.echo(
                    "Without TLS, others on the way can read keys and chats: put a TLS proxy before it.", err=True
                )
            return
        entrance = f"{root}/enter?token={token}"
        click.echo(f"The chat, for one browser: {entrance}")
        if open_page and has_display():
            webbrowser.open(entrance)

    def ready(name: str) -> None:
        click.echo(f"{name} is ready. Ctrl-C ends the server.", err=True)

    return Announcements(address, preparing(), ready)


def _set_up_logs(log_requests: bool) -> None:
    import logging

    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    if log_requests:
        lines, requests = logging.StreamHandler(), logging.getLogger("bise.requests")
        lines.setFormatter(logging.Formatter("%(message)s"))
        requests.addHandler(lines)
        requests.setLevel(logging.INFO)
        requests.propagate = False
