"""The process in which chat templates run: strangers wrote them, and a loop or a huge text must not take ours along.

Started as a script with nothing of Bise on its path. Messages each way are eight bytes of length and JSON: first the
template's source, answered by null or an error, then the variables of each rendering, answered by the text.
"""

import contextlib
import json
import sys
from datetime import datetime
from typing import Any

from jinja2 import TemplateError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

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


def main() -> None:
    """Compile one template, then render it as often as asked."""
    _limit_memory()
    template = None
    while (message := _read()) is not None:
        try:
            if template is None:
                template, answer = make_environment().from_string(message), None
            else:
                answer = render(template, message)
            _write({"text": answer})
        except _FAILURES as error:
            _write({"error": f"{error}".splitlines()[0][:300] if f"{error}" else type(error).__name__})


def _to_json(
    value: Any, ensure_ascii: bool = False, indent: int | None = None, separators: Any = None, sort_keys: bool = False
) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _raise(message: str) -> None:
    raise TemplateError(message)


def _limit_memory() -> None:
    with contextlib.suppress(ImportError, OSError, ValueError):  # systems without such limits
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (_MAX_MEMORY_BYTES, _MAX_MEMORY_BYTES))


def _read() -> Any:
    length = sys.stdin.buffer.read(8)
    return json.loads(sys.stdin.buffer.read(int.from_bytes(length, "little"))) if len(length) == 8 else None


def _write(answer: dict[str, Any]) -> None:
    content = json.dumps(answer).encode()
    sys.stdout.buffer.write(len(content).to_bytes(8, "little") + content)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
