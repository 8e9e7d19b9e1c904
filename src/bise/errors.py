"""Errors that a user can fix.

    BiseError               what happened, with the values, and what to do; the command line exits 2
    ├── InputError          a file, recipe, argument or request is wrong
    ├── NotFoundError       a named thing does not exist; the message lists what does
    └── UnavailableError    something that must be running or installed is not

Our own mistakes are assertions, never a BiseError: a traceback is then what we want to see.
"""


class BiseError(Exception):
    """A sentence for the user: what happened, with the values, then what to do."""


class InputError(BiseError):
    """A file, recipe, argument or request is wrong."""


class NotFoundError(BiseError):
    """A named thing does not exist; the message lists what does."""


class UnavailableError(BiseError):
    """Something that must be running or installed is not; the message says how to get it."""
