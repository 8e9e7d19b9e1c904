"""An engine's child process that does what a test wants: `python scripted_worker.py MODE STATE_FILE`.

mortal    ready at first and dies of its first request; later it ends at once, until the state file says "mended"
stuck     ready, and never answers; "mended" as above
version   of another version
noise     says something that is no message
"""

import os
import sys
from pathlib import Path

from bise.engine.protocol import VERSION, Add, Hello, Outputs, Ready, encode, read_to_engine
from bise.engine.requests import StepOutput


def say(message: object) -> None:
    os.write(1, encode(message))


def main(mode: str, state: Path) -> None:
    seen = state.read_text() if state.exists() else ""
    if mode == "noise":
        os.write(1, b"Fatal: something went wrong\n")
    say(Hello(VERSION + (mode == "version")))
    if mode == "mortal" and seen == "dying":
        sys.exit(3)
    if not seen:
        state.write_text("dying")
    say(Ready(100, "scripted", None))
    for line in sys.stdin.buffer:
        message = read_to_engine(line)
        if isinstance(message, Add):
            if seen != "mended" and mode == "mortal":
                os.write(1, b'["Outputs",{"outputs":[{"requ')  # it dies in the middle of a word
                sys.exit(3)
            if seen != "mended" and mode == "stuck":
                continue
            say(Outputs((StepOutput(message.request.request_id, (7,), "length"),)))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
