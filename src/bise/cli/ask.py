"""`bise ask`: one answer in the terminal."""

import click


@click.command("ask")
@click.argument("question", required=False)
@click.option("-m", "--model", default=None, help="A model, or model:adapter; without it, the demonstration model.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object at the end instead of text as it comes.")
def command(question: str | None, model: str | None, as_json: bool) -> None:
    """Answer QUESTION; what comes on stdin is added to it."""
    import asyncio
    import json
    import sys
    from dataclasses import asdict

    from bise.cli.preparing import preparing
    from bise.server.once import answer_once
    from bise.weights.adapters import find_model_and_adapter
    from bise.weights.store import DEFAULT_MODEL

    directory, adapter = find_model_and_adapter(model or DEFAULT_MODEL)
    piped = "" if sys.stdin.isatty() else sys.stdin.read()
    text = "\n\n".join(part for part in (question, piped.strip()) if part)

    def write(piece: str) -> None:
        if not as_json:  # a model must not steer the terminal
            shown = "".join(filter(lambda c: c.isprintable() or c in "\n\t", piece)) if sys.stdout.isatty() else piece
            click.echo(shown, nl=False)

    answer = asyncio.run(answer_once(directory, text, write, preparing(), adapter))
    click.echo(json.dumps({"model": answer.model, "text": answer.text, **asdict(answer.end)}) if as_json else "")
