"""Every suite of `bise eval` by its name."""

from collections.abc import Sequence

from bise.errors import NotFoundError
from bise.evals import bits_per_byte, function_calling, instruction_following, parity, questions
from bise.evals.tasks import Suite

_ALL = (
    bits_per_byte.SUITE,
    parity.SUITE,
    *questions.LIKELIHOOD,
    *questions.GENERATION,
    instruction_following.SUITE,
    function_calling.SUITE,
)
SUITES: dict[str, Suite] = {suite.name: suite for suite in _ALL}


def check_suites(names: Sequence[str]) -> list[str]:
    """The names of suites, with those that "all" stands for.

    Raises:
        NotFoundError: one is unknown, or there is none; the message lists all.
    """
    found = [name for each in names for name in (SUITES if each == "all" else (each,))]
    unknown = [name for name in found if name not in SUITES]
    if unknown or not found:
        listed = "\n".join(f"  {suite.name:14} {suite.about}" for suite in SUITES.values())
        what = f"There is no suite {', '.join(unknown)}." if unknown else "Name a suite or several."
        raise NotFoundError(f"{what} There are:\n{listed}\n  {'all':14} all of these")
    return list(dict.fromkeys(found))
