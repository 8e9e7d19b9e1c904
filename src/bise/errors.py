"""Errors that a user can fix.

    BiseError               what happened, with the values, and what to do; the command line exits 2
    ├── InputError          a file, recipe, argument or request is wrong
    ├── NotFoundError       a named thing does not exist; the message lists what does
    └── UnavailableError    something that must be running or installed is not

Our own mistakes are assertions, never a BiseError: a traceback is then what we want to see.
"""


class BiseError(Exception):
    """A sentence for the user: what happened, with the values, then what to do.

    `code` names what happened and `values` are those of the sentence, for a page that says it in another language.
    """

    def __init__(self, message: str, *, code: str = "", **values: str | float) -> None:
        super().__init__(message)
        self.code = code
        self.values = values

    @property
    def facts(self) -> dict[str, object] | None:
        """`code` and `values`, to be kept beside the sentence; None without a code."""
        return {"code": self.code, "values": self.values} if self.code else None


class InputError(BiseError):
    """A file, recipe, argument or request is wrong."""


class NotFoundError(BiseError):
    """A named thing does not exist; the message lists what does."""


class UnavailableError(BiseError):
    """Something that must be running or installed is not; the message says how to get it."""
