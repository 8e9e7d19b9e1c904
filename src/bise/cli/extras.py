"""Say which extra to install when a command needs a package that is not there."""

import importlib.util

from bise.errors import UnavailableError


def require_extra(extra: str, *modules: str) -> None:
    """Raise UnavailableError when one of an extra's modules cannot be imported."""
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    if missing:
        raise UnavailableError(
            f'This command needs {", ".join(missing)}, which is not installed. Type: pip install "bise[{extra}]"'
        )
