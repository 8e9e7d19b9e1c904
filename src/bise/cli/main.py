"""The `bise` command: names every command, imports one only when it is called."""

import errno
import importlib
import sys
from collections.abc import Sequence

import click

from bise import __version__
from bise.errors import BiseError

# name -> (module, help line). Modules are imported on use, so that `bise --help` never waits for numba or torch.
COMMANDS: dict[str, str] = {
    "curate": "bise.cli.curate",
    "explain": "bise.cli.explain",
    "quality": "bise.cli.quality",
    "tokenizer": "bise.cli.tokenizer",
    "train": "bise.cli.train",
    "tune": "bise.cli.tune",
    "eval": "bise.cli.eval",
    "models": "bise.cli.models",
    "pull": "bise.cli.pull",
    "export": "bise.cli.export",
    "compare": "bise.cli.compare",
    "serve": "bise.cli.serve",
    "ask": "bise.cli.ask",
    "trace": "bise.cli.trace",
    "lineage": "bise.cli.lineage",
    "verify": "bise.cli.verify",
    "release": "bise.cli.release",
    "bench": "bise.cli.bench",
    "admin": "bise.cli.admin",
    "doctor": "bise.cli.doctor",
}


# What the disk says no with, and a person can change; every other OSError is a mistake of ours.
_DISK = {errno.EACCES, errno.EDQUOT, errno.EFBIG, errno.ENOSPC, errno.ENOTDIR, errno.EPERM, errno.EROFS}


class LazyGroup(click.Group):
    """A group whose commands live in modules of their own, each exposing `command`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every command, in the order in which work flows."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one command, or None when there is no such name."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        command = importlib.import_module(COMMANDS[cmd_name]).command
        assert isinstance(command, click.Command)
        return command


@click.group(cls=LazyGroup, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="bise")
@click.pass_context
def main(ctx: click.Context) -> None:
    """Own a language model from the raw text to the conversation.

    Without a command, bise starts the server with the default model and opens the chat.
    """
    if ctx.invoked_subcommand is None:
        serve = ctx.command.get_command(ctx, "serve")  # type: ignore[attr-defined]
        ctx.invoke(serve, open_page=True)


def run(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; what a user can fix goes to stderr in a sentence, with exit code 2."""
    try:
        status = main.main(args=arguments, standalone_mode=False)
    except BiseError as error:
        click.echo(f"bise: {error}", err=True)
        sys.exit(2)
    except OSError as error:
        if error.errno not in _DISK:
            raise
        place = error.filename or "the disk"
        click.echo(f"bise: {place}: {error.strerror}. Free space there, or name a place you may write to.", err=True)
        sys.exit(2)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("\nStopped.", err=True)
        sys.exit(130)
    sys.exit(status if isinstance(status, int) else 0)
