"""What an operator may set in the file of `bise serve --settings`; everything has a value that suits one machine."""

from dataclasses import dataclass
from typing import Literal

SignUp = Literal["off", "invited", "open"]


@dataclass(frozen=True)
class ServerSettings:
    """Bounds of the whole server, and what it writes down."""

    max_requests: int = 2048  # answered or waiting at the same time; more are refused with a 503
    drain_s: float = 5.0  # how long answers may go on after SIGTERM or Ctrl-C
    notice_s: float = 0.0  # before that: /ready already says no, and new requests are still taken
    log_requests: bool = False  # one line of JSON for each request to the API, on stderr
    log_prompts: bool = False  # in these lines, also what was asked
    sign_up: SignUp = (
        "off"  # who may make an account of their own, where others come: nobody, whoever is invited, anybody
    )
    workers: int = 1  # one process: see below

    def __post_init__(self) -> None:
        """Check what would make a server that answers nothing."""
        if self.workers != 1:
            raise ValueError(
                f"workers is {self.workers}, but one process owns the engine, counts the limits and knows which answers are "
                "being written. It uses all cores by itself. For more machines, name their servers with --upstreams"
            )
        if self.max_requests < 1 or self.drain_s < 0 or self.notice_s < 0:
            raise ValueError("max_requests must be at least 1, drain_s and notice_s at least 0")
        if self.log_prompts and not self.log_requests:
            raise ValueError("log_prompts needs log_requests = true")


STANDARD = ServerSettings()
