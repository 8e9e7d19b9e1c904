"""A first start compiles on two cores: a second process compiles half of the kernels, and the first loads them.

Run as `python -m bise.engine.kernels.halves INSTRUCTION_SET NAME ...`, which compiles those kernels into the cache.
"""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from bise.engine.kernels.cache import cache_directory, is_complete
from bise.hardware import usable_cores
from bise.machine_code import is_writable

# They take as long as all others together; functions that share a cache file are on one side.
SECOND_HALF = ("step", "rotate_and_store")


@contextmanager
def second_process(set_name: str | None, names: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """While the body compiles the other kernels, have half of `names` compiled; gives these, and waits for them at the end.

    Gives none where that would not help: all are compiled, they cannot be kept, or there is one core. What the second
    process has not compiled, for whatever reason, is compiled by whoever loads it.
    """
    half = tuple(name for name in names if name in SECOND_HALF)
    if set_name is None or is_complete(set_name) or not is_writable(cache_directory()) or usable_cores() < 2:
        yield ()
        return
    command = [sys.executable, "-m", __name__, set_name, *half]
    nothing = subprocess.DEVNULL
    with subprocess.Popen(
        command, stdin=nothing, stdout=nothing, stderr=nothing
    ) as process:  # leaving the block waits for it
        try:
            yield half
        except BaseException:
            process.kill()
            raise


def main(set_name: str, *names: str) -> None:
    """Compile some kernels."""
    from bise.engine.kernels.compiled import loaders_for
    from bise.engine.kernels.instructions import choose_instruction_set

    loaders = loaders_for(choose_instruction_set(set_name))
    for name in names:
        loaders[name]()


if __name__ == "__main__":
    main(*sys.argv[1:])
