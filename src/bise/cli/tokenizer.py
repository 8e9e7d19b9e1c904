"""`bise tokenizer`: train a vocabulary on a curated corpus, and look into one."""

import json
from pathlib import Path
from typing import Any

import click

from bise.cli.extras import require_extra
from bise.config import load_recipe

_SHOWN = 40  # control tokens, of which large vocabularies have hundreds


@click.group()
def command() -> None:
    """Train a vocabulary, or show one."""


@command.command()
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override one value of the recipe.")
@click.option("--json", "as_json", is_flag=True, help="Print the facts of the run as JSON.")
def train(recipe: Path, overrides: tuple[str, ...], as_json: bool) -> None:
    """Train a vocabulary on a curated corpus as RECIPE says.

    The result is the run directory ROOT/tokenizer/NAME/, ROOT and NAME being values of the recipe.
    """
    require_extra("corpus", "pyarrow")
    from bise.cli.progress import progress_bar
    from bise.corpus.readers import read_curated
    from bise.tokenizer.training import TokenizerRecipe, train_tokenizer

    resolved = load_recipe(recipe, TokenizerRecipe, overrides)
    with progress_bar("Learning the vocabulary") as progress:
        facts: dict[str, Any] = train_tokenizer(resolved, lambda: read_curated(resolved.corpus), progress).facts
    click.echo(json.dumps(facts, indent=2) if as_json else _rates(facts))
    click.echo(f"Written to {resolved.root / 'tokenizer' / resolved.name}", err=True)


@command.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.argument("text", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def show(path: Path, text: str | None, as_json: bool) -> None:
    """Show the vocabulary at PATH, a tokenizer's file or a directory with one; with TEXT, how it is cut into tokens."""
    from bise.tokenizer.chat import ChatTokenizer

    tokenizer = ChatTokenizer.load(path)
    facts: dict[str, Any] = {
        "vocab_size": tokenizer.vocab_size,
        "control_tokens": tokenizer.control_tokens(),
        "stop_tokens": [tokenizer.token_name(token_id) for token_id in tokenizer.stop_ids],
        "files": [path.name for path in tokenizer.files],
        "sha256": tokenizer.sha256,
    }
    if text is not None:
        ids = tokenizer.encode(text)
        facts["tokens"] = [{"id": token_id, "text": tokenizer.token_name(token_id)} for token_id in ids]
    click.echo(json.dumps(facts, indent=2, ensure_ascii=False) if as_json else _description(facts))


def _rates(facts: dict[str, Any]) -> str:
    lines = [f"{facts['vocab_size']:,} tokens. UTF-8 bytes per token, on the text it was learned from:"]
    return "\n".join(
        lines + [f"  {lang or 'unknown':<8} {rate:.2f}" for lang, rate in facts["bytes_per_token"].items()]
    )


def _description(facts: dict[str, Any]) -> str:
    names, rest = facts["control_tokens"][:_SHOWN], len(facts["control_tokens"]) - _SHOWN
    lines = [
        f"{facts['vocab_size']:,} tokens, of which {len(facts['control_tokens'])} are control tokens:",
        "  " + " ".join(names) + (f" and {rest} more" if rest > 0 else ""),
        f"An answer ends with {' or '.join(facts['stop_tokens'])}",
        f"{', '.join(facts['files'])}; SHA-256 {facts['sha256']}",
    ]
    lines += [f"{token['id']:>8}  {token['text']!r}" for token in facts.get("tokens", ())]
    return "\n".join(lines)
