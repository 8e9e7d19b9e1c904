"""What the server's process and the engine's say to each other: one message a line, `["kind", {fields}]` in JSON.

    server -> engine    Start, then any number of Add, Cancel and DropAdapter; the end of the pipe ends the engine
    engine -> server    Hello, Progress…, then Ready or Failed; then Outputs, Refused and Stats as they come

Each side checks what it reads, field by field: after an upgrade in place, an engine that is started again may be of
another version than the server that talks to it. Whoever changes a message counts `VERSION` up.
"""

import dataclasses
import json
import types
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from bise.engine.core import EngineConfig, EngineStats
from bise.engine.requests import Request, StepOutput
from bise.errors import BiseError, InputError, NotFoundError, UnavailableError

VERSION = 7
ErrorKind = Literal["InputError", "NotFoundError", "UnavailableError"]


@dataclass(frozen=True)
class Start:
    """Load a model."""

    version: int
    parent_id: int  # process id of the server: the engine must not outlive it
    directory: str
    config: EngineConfig


@dataclass(frozen=True)
class Add:
    """Answer a prompt."""

    request: Request


@dataclass(frozen=True)
class Cancel:
    """Stop answering, or stop one of a request's answers; outputs that are under way may still come."""

    request_id: str
    index: int | None = None


@dataclass(frozen=True)
class DropAdapter:
    """Free an adapter's memory, as soon as no request uses it. Adapters are loaded by the first Add that names them."""

    key: str


@dataclass(frozen=True)
class Hello:
    """The first line of the engine."""

    version: int


@dataclass(frozen=True)
class Progress:
    """A kernel is about to be compiled or loaded."""

    kernel: str
    done: int
    total: int


@dataclass(frozen=True)
class Ready:
    """Requests are answered from here on."""

    max_length: int  # tokens of a prompt and its answer
    kernels: str
    reason: str | None  # why the kernels are the slow ones


@dataclass(frozen=True)
class Failed:
    """The engine cannot start; its last line."""

    kind: ErrorKind
    message: str


@dataclass(frozen=True)
class Outputs:
    """All tokens of a step."""

    outputs: tuple[StepOutput, ...]


@dataclass(frozen=True)
class Refused:
    """A request is wrong; nothing else comes for it."""

    request_id: str
    kind: ErrorKind
    message: str


@dataclass(frozen=True)
class Stats:
    """How the engine is doing: once a second while it works, and when it falls idle. The server knows by it that an
    engine whose steps bring no token yet is not stuck."""

    engine: EngineStats
    waiting: tuple[str, ...] = ()  # requests without a place in the engine, the longest there first


ToEngine = Start | Add | Cancel | DropAdapter
ToServer = Hello | Progress | Ready | Failed | Outputs | Refused | Stats
Reader = Callable[[Any], Any]

_ERRORS: dict[str, type[BiseError]] = {kind.__name__: kind for kind in (InputError, NotFoundError, UnavailableError)}


class ProtocolError(UnavailableError):
    """A line is no message of this version."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"The server and its engine process do not understand each other: {what}. If Bise was upgraded while the "
            "server ran, start the server again."
        )


def encode(message: ToEngine | ToServer) -> bytes:
    """Write a message as one line."""
    # json turns to `vars` for what it does not know: the dataclass itself and those inside it.
    return json.dumps([type(message).__name__, message], default=vars, separators=(",", ":")).encode() + b"\n"


def read_to_engine(line: bytes) -> ToEngine:
    """Read what the server says.

    Raises:
        ProtocolError: it is not a message.
    """
    return typing.cast(ToEngine, _decode(line, typing.get_args(ToEngine)))


def read_to_server(line: bytes) -> ToServer:
    """Read what the engine says.

    Raises:
        ProtocolError: it is not a message.
    """
    return typing.cast(ToServer, _decode(line, typing.get_args(ToServer)))


def check_version(version: int) -> None:
    """Compare the other side's version with ours.

    Raises:
        ProtocolError: they differ.
    """
    if version != VERSION:
        raise ProtocolError(f"one speaks version {VERSION} of their protocol, the other version {version}")


def error_kind(error: BiseError) -> ErrorKind:
    """The name under which an error travels: its own, or that of the nearest one above it."""
    return typing.cast(ErrorKind, next(kind.__name__ for kind in type(error).__mro__ if kind.__name__ in _ERRORS))


def error_of(message: Failed | Refused) -> BiseError:
    """The error that was sent."""
    return _ERRORS[message.kind](message.message)


def _decode(line: bytes, kinds: tuple[Any, ...]) -> Any:
    try:
        name, fields = json.loads(line)
        return _reader({kind.__name__: kind for kind in kinds}[name])(fields)
    except (ValueError, KeyError, TypeError, InputError) as error:
        start = line[:80].decode(errors="replace")
        raise ProtocolError(f"{start!r} is not a message ({type(error).__name__}: {error})") from None


@cache
def _reader(hint: Any) -> Reader:
    """A function that checks a JSON value against a type and builds the type's value, or raises TypeError."""
    parts = typing.get_args(hint)
    match typing.get_origin(hint):
        case None:
            read = _dataclass_reader(hint) if dataclasses.is_dataclass(hint) else _scalar_reader(hint)
        case types.UnionType | typing.Union:
            assert len(parts) == 2, f"messages cannot hold a {hint}"
            read = _optional_reader(next(part for part in parts if part is not types.NoneType))
        case typing.Literal:
            read = _literal_reader(parts)
        case origin:
            is_long = origin is Sequence or parts[-1] is Ellipsis
            read = _sequence_reader(parts[0]) if is_long else _tuple_reader(parts)
    return read


def _scalar_reader(kind: type) -> Reader:
    assert kind in (int, float, str, bool), f"messages cannot hold a {kind}"
    if kind is float:
        return lambda value: value if type(value) is int else _of(value, float)
    return lambda value: _of(value, kind)


def _optional_reader(kind: Any) -> Reader:
    read = _reader(kind)
    return lambda value: None if value is None else read(value)


def _literal_reader(choices: tuple[str, ...]) -> Reader:
    return lambda value: value if value in choices else _wrong(value, f"one of {choices}")


def _tuple_reader(kinds: tuple[Any, ...]) -> Reader:
    readers = tuple(map(_reader, kinds))
    return lambda value: tuple(read(each) for read, each in zip(readers, _of(value, list), strict=True))


def _dataclass_reader(kind: Any) -> Reader:
    hints = typing.get_type_hints(kind)
    readers = {field.name: _reader(hints[field.name]) for field in dataclasses.fields(kind)}

    def read(value: Any) -> Any:
        if _of(value, dict).keys() != readers.keys():
            raise TypeError(f"{kind.__name__} has the fields {', '.join(readers)}")
        return kind(**{name: readers[name](field) for name, field in value.items()})

    return read


def _sequence_reader(item: Any) -> Reader:
    if item is int:  # prompts are long: one look at all of them
        return lambda value: tuple(value) if set(map(type, _of(value, list))) <= {int} else _wrong(value, "token ids")
    read = _reader(item)
    return lambda value: tuple(map(read, _of(value, list)))


def _of(value: Any, kind: type) -> Any:
    return value if type(value) is kind else _wrong(value, kind.__name__)


def _wrong(value: Any, wanted: object) -> Any:
    raise TypeError(f"{str(value)[:40]!r} is not {wanted}")
