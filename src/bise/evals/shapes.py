"""What the fields of a user's lines must be, so that a broken line is told by its place before a model is asked.

A shape takes a value and says what is wrong with it, after the value's place: `[1].name is 5, but must be a text`. It says
nothing where all is well. Shapes of objects and lists are made from those of their parts.
"""

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

Shape = Callable[[Any], str]
_MOST_SHOWN = 60  # characters of a wrong value


def is_wrong(value: object, wanted: str) -> str:
    """The words for a value that is not what is wanted."""
    return f" is {_shown(value)}, but must be {wanted}"


def anything(_: object) -> str:
    """Every value will do."""
    return ""


def text(value: object) -> str:
    """A text that can be written as UTF-8: half a surrogate pair cannot."""
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return is_wrong(value, "a text without halves of surrogate pairs")
        return ""
    return is_wrong(value, "a text")


def some_text(value: object) -> str:
    """A text with more than spaces."""
    return text(value) or ("" if str(value).strip() else is_wrong(value, "a text that is not empty"))


def text_or_integer(value: object) -> str:
    """A label, as some files write it as a number and others as a text."""
    return "" if _is_integer(value) else some_text(value)


def whole_number(least: int) -> Shape:
    """A whole number, so much at least; tables write it as 3.0 or "3", too."""

    def check(value: object) -> str:
        number = _whole(value)
        return "" if number is not None and number >= least else is_wrong(value, f"a whole number from {least}")

    return check


def one_of(*choices: str) -> Shape:
    """One of some texts, or a whole number that is written so."""

    def check(value: object) -> str:
        fits = (isinstance(value, str) or _is_integer(value)) and str(value) in choices
        return "" if fits else is_wrong(value, f"one of {', '.join(choices)}")

    return check


def optional(shape: Shape) -> Shape:
    """What may be null."""
    return lambda value: "" if value is None else shape(value)


def list_of(shape: Shape, least: int = 0) -> Shape:
    """A list of values that all have one shape, so many at least."""

    def check(value: object) -> str:
        if not isinstance(value, list) or len(value) < least:
            return is_wrong(value, "a list" if least == 0 else f"a list of at least {least}")
        return next((f"[{index}]{told}" for index, each in enumerate(value) if (told := shape(each))), "")

    return check


def map_of(shape: Shape) -> Shape:
    """An object with any names, whose values all have one shape."""

    def check(value: object) -> str:
        if not isinstance(value, Mapping):
            return is_wrong(value, "an object")
        return next((f".{name}{told}" for name, each in value.items() if (told := shape(each))), "")

    return check


def object_with(needed: Mapping[str, Shape], allowed: Mapping[str, Shape] | None = None) -> Shape:
    """An object with some fields; those that may be missing are looked at where they stand, and others are not."""

    def check(value: object) -> str:
        if not isinstance(value, Mapping):
            return is_wrong(value, f"an object with {', '.join(needed)}" if needed else "an object")
        if missing := missing_fields(value, needed):
            return f" has no {', '.join(missing)}"
        known = {**(allowed or {}), **needed}
        wrong = (f".{name}{told}" for name, shape in known.items() if name in value and (told := shape(value[name])))
        return next(wrong, "")

    return check


def missing_fields(value: object, needed: Collection[str]) -> list[str]:
    """Which of the needed fields a value lacks."""
    return [name for name in needed if not isinstance(value, Mapping) or name not in value]


def _shown(value: object) -> str:
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, Mapping):
        return "an object"
    if value is None or isinstance(value, bool):
        return str(value).lower().replace("none", "null")
    written = ascii(value)
    return written if len(written) <= _MOST_SHOWN else f"{written[:_MOST_SHOWN]}…"


def _whole(value: object) -> int | None:
    if isinstance(value, str) and re.fullmatch("[0-9]{1,18}", value):
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
