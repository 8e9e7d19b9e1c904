"""The process in which chat templates run: strangers wrote them, and a loop or a huge text must not take ours along.

It is given the template's source, then the variables of each rendering, which it answers by the text.
"""

import json
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

from jinja2 import TemplateError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from bise.tokenizer.bounded import answer_requests

_MAX_MEMORY_BYTES = 1 << 29
_MAX_TEXT = 1 << 25  # characters
_FAILURES = (
    ArithmeticError, AttributeError, LookupError, MemoryError, RecursionError, TemplateError, TypeError, ValueError,
)  # fmt: skip


class Generation(Extension):
    """`{% generation %}` marks what the assistant says; for the text it means nothing."""

    tags = {"generation"}  # noqa: RUF012 - jinja2 declares it so

    def parse(self, parser: Parser) -> nodes.Node:
        """Keep what stands inside."""
        line = next(parser.stream).lineno
        return nodes.Scope(parser.parse_statements(("name:endgeneration",), drop_needle=True), lineno=line)


def make_environment() -> ImmutableSandboxedEnvironment:
    """The environment that templates of Hugging Face models are written for."""
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise
    environment.globals["strftime_now"] = lambda form: datetime.now().astimezone().strftime(form)
    return environment


def render(template: Any, variables: dict[str, Any]) -> str:
    """The text of a template, unless it is too long."""
    parts, length = [], 0
    for part in template.generate(**variables):
        parts.append(part)
        length += len(part)
        if length > _MAX_TEXT:
            raise TemplateError(f"it gives more than {_MAX_TEXT:,} characters")
    return "".join(parts)


def prepare(source: str) -> Callable[[dict[str, Any]], str]:
    """Compile a template."""
    return partial(render, make_environment().from_string(source))


def _to_json(
    value: Any, ensure_ascii: bool = False, indent: int | None = None, separators: Any = None, sort_keys: bool = False
) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _raise(message: str) -> None:
    raise TemplateError(message)


if __name__ == "__main__":
    answer_requests(prepare, _FAILURES, _MAX_MEMORY_BYTES)
