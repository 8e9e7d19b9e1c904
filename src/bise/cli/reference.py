"""The command reference, from the commands themselves: `python -m bise.cli.reference > docs/commands.md`."""

from collections.abc import Iterator

import click

from bise.cli.main import main

_INTRODUCTION = """# Commands

Made by `make reference` from the commands' own help; a test keeps it fresh. Results go to stdout, words to stderr. What
you can fix is said in one sentence, with exit code 2. A command that takes a recipe takes its values from the TOML
file, and `--set section.key=value`, as often as you like, overrides one.
"""


def commands(group: click.Group, context: click.Context) -> Iterator[tuple[str, click.Command, click.Context]]:
    """Walk every command below a group, groups before their children, with its full name and context."""
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        child = click.Context(command, info_name=name, parent=context, max_content_width=100, terminal_width=100)
        yield child.command_path, command, child
        if isinstance(command, click.Group):
            yield from commands(command, child)


def root_context() -> click.Context:
    """The context of `bise` itself, as it is when a person calls it."""
    return click.Context(main, info_name="bise", max_content_width=100, terminal_width=100, **main.context_settings)


def reference() -> str:
    """The whole reference as Markdown."""
    context = root_context()
    sections = [("bise", main.get_help(context))]
    sections += [(path, command.get_help(child)) for path, command, child in commands(main, context)]
    return _INTRODUCTION + "".join(f"\n## {path}\n\n```text\n{help_text}\n```\n" for path, help_text in sections)


if __name__ == "__main__":
    click.echo(reference(), nl=False)
