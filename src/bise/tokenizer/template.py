"""A chat template of a stranger's, rendered in a process of its own with bounds on time, memory and text."""

from collections.abc import Mapping
from typing import Any

from bise.errors import InputError
from bise.tokenizer.bounded import BoundedProcess, Refused

_MAX_SOURCE = 1 << 20  # characters; the longest of open models have some ten thousand
_LIMIT_S = 10.0


class Template:
    """One template; its process starts when it is first used, and again after a rendering that had to be ended."""

    def __init__(self, source: str, where: str, limit_s: float = _LIMIT_S) -> None:
        """`where` names the template in errors."""
        if len(source) > _MAX_SOURCE:
            raise InputError(
                f"The chat template of {where} has {len(source):,} characters; {_MAX_SOURCE:,} is the most."
            )
        self._where = where
        self._limit_s = limit_s
        self._process = BoundedProcess("bise.tokenizer.template_worker", source)

    def render(self, variables: Mapping[str, Any]) -> str:
        """The template's text.

        Raises:
            InputError: the template refuses these variables, is wrong, or takes too much time, memory or text.
        """
        try:
            text: str = self._process.ask(variables, self._limit_s)
        except Refused as reason:
            raise InputError(
                f"The chat template of {self._where} {reason}. Change what is asked, or use a model with another."
            ) from None
        return text
