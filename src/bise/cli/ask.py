"""`bise ask`: one answer in the terminal."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from bise.server.backend import ResponseFormat


@click.command("ask")
@click.argument("question", required=False)
@click.option("-m", "--model", default=None, help="A model, or model:adapter; without it, the demonstration model.")
@click.option("--schema", type=click.Path(path_type=Path), help="A file with a JSON schema that the answer keeps to.")
@click.option(
    "--draft", default=None, help="A smaller model of the same family, which guesses next tokens for the model."
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object at the end instead of text as it comes.")
def command(question: str | None, model: str | None, schema: Path | None, draft: str | None, as_json: bool) -> None:
    """Answer QUESTION; what comes on stdin is added to it."""
    import asyncio
    import json
    import sys

    from bise.cli.preparing import preparing
    from bise.server.once import ANY_TEXT, answer_once
    from bise.weights.adapters import find_model_and_adapter
    from bise.weights.store import DEFAULT_MODEL

    directory, adapter = find_model_and_adapter(model or DEFAULT_MODEL)
    guide = find_model_and_adapter(draft)[0] if draft is not None else None
    form = ANY_TEXT if schema is None else _read_schema(schema)
    piped = "" if sys.stdin.isatty() else sys.stdin.read()
    text = "\n\n".join(part for part in (question, piped.strip()) if part)

    def write(piece: str) -> None:
        if not as_json:  # a model must not steer the terminal
            shown = "".join(filter(lambda c: c.isprintable() or c in "\n\t", piece)) if sys.stdout.isatty() else piece
            click.echo(shown, nl=False)

    answer = asyncio.run(answer_once(directory, text, write, preparing(), adapter, form, guide))
    told = {
        "model": answer.model,
        "text": answer.text,
        "finish_reason": answer.end.finish_reason,
        "num_prompt_tokens": answer.end.num_prompt_tokens,
        "num_completion_tokens": answer.end.num_completion_tokens,
    }
    click.echo(json.dumps(told) if as_json else "")


def _read_schema(path: Path) -> "ResponseFormat":
    import json

    from bise.engine.grammar import schema_grammar
    from bise.errors import InputError
    from bise.server.backend import ResponseFormat

    try:
        schema = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"The schema {path} cannot be read: {error.strerror}.") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"The schema {path} is not JSON: {error}.") from None
    schema_grammar(schema)  # what is wrong at first sight is told before the model is loaded
    return ResponseFormat("json_schema", schema)
