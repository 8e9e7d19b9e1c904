"""Open a stranger's model in a child process whose memory and time are bounded, before this process touches it.

Headers are checked with care everywhere; the child is there for what care may have missed. It reads no weights.
"""

import contextlib
import json
import resource
import subprocess
import sys
from pathlib import Path

from bise.errors import BiseError, InputError
from bise.weights.formats.detect import open_foreign

MEMORY_BYTES = 1 << 30
_SECONDS = 120


def examine(path: Path, memory_bytes: int = MEMORY_BYTES) -> None:
    """Open a model in a child and forget it.

    Raises:
        NotFoundError: there is nothing.
        InputError: it is no model that Bise reads, or a damaged one, or its headers need more memory or time than any
            honest ones.
    """
    if not path.exists():
        open_foreign(path)  # says so
    command = [sys.executable, "-P", "-m", "bise.weights.examine", str(path), str(memory_bytes)]
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=2 * _SECONDS)
        answer = json.loads(done.stdout.splitlines()[-1]) if done.stdout else None
    except (subprocess.TimeoutExpired, ValueError):
        answer = None
    if answer is None:
        raise InputError(
            f"{path} was refused: its headers could not be read with {memory_bytes / 1e9:.1f} GB of memory in {_SECONDS} "
            "seconds, which is more than any honest model needs. Fetch it again from a source that you trust."
        )
    if answer["problem"]:
        raise InputError(answer["problem"])


def main() -> None:
    """The child: bound itself, open the path, and say what is wrong with it."""
    path, memory_bytes = Path(sys.argv[1]), int(sys.argv[2])
    for kind, limit in ((resource.RLIMIT_DATA, memory_bytes), (resource.RLIMIT_CPU, _SECONDS)):
        with contextlib.suppress(ValueError, OSError):  # a lower limit is in force, or the system has none
            resource.setrlimit(kind, (limit, limit))
    problem = ""
    try:
        open_foreign(path)
    except BiseError as error:
        problem = str(error)
    sys.stdout.write(json.dumps({"problem": problem}) + "\n")


if __name__ == "__main__":
    main()
