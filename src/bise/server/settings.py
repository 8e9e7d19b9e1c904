"""What an operator may set in the file of `bise serve --settings`; everything has a value that suits one machine."""

import re
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from bise.errors import InputError

SignUp = Literal["off", "invited", "open"]


@dataclass(frozen=True)
class OidcProvider:
    """A provider of OpenID Connect at which people may sign in; a table `[[oidc]]` of the file."""

    id: str  # stands in the address that the provider sends people back to: /oidc/ID/callback
    name: str  # as people know it
    issuer: str
    client_id: str
    client_secret_file: Path | None = None  # holds the secret that the provider gave, if it gave one
    domains: tuple[str, ...] = ()  # whose verified e-mail address is there may make an account, whatever sign_up says

    def __post_init__(self) -> None:
        """Check what would fail at the first sign-in only."""
        if not re.fullmatch(r"[a-z0-9-]{1,40}", self.id):
            raise ValueError(f"the id of a provider is {self.id!r}, but must be of small letters, digits and -")
        if not is_safe_issuer(self.issuer):
            raise ValueError(f"the issuer of {self.id} is {self.issuer!r}, but must begin with https://")

    def read_secret(self) -> str:
        """The secret; empty without one.

        Raises:
            InputError: its file cannot be read.
        """
        if self.client_secret_file is None:
            return ""
        try:
            return self.client_secret_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"The secret of {self.id} could not be read: {error}.") from None


def is_safe_issuer(url: str) -> bool:
    """Whether nobody on the way to an address can change what comes from it: by TLS, or because there is no way."""
    address = urlsplit(url)
    name = address.hostname or ""
    if address.scheme == "https":
        return bool(name)
    is_number = re.fullmatch(r"[0-9.]+|[0-9a-f:]+", name)
    return address.scheme == "http" and (name == "localhost" or bool(is_number and ip_address(name).is_loopback))


@dataclass(frozen=True)
class ServerSettings:
    """Bounds of the whole server, and what it writes down."""

    max_requests: int = 2048  # answered or waiting at the same time; more are refused with a 503
    drain_s: float = 5.0  # how long answers may go on after SIGTERM or Ctrl-C
    notice_s: float = 0.0  # before that: /ready already says no, and new requests are still taken
    share_links: bool = True  # whether people may make read-only links to conversations, and links show something
    log_requests: bool = False  # one line of JSON for each request to the API, on stderr
    log_prompts: bool = False  # in these lines, also what was asked
    sign_up: SignUp = "off"  # where others come, who makes an account of their own: nobody, those invited, anybody
    oidc: tuple[OidcProvider, ...] = ()  # where people may sign in besides
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
        if len({provider.id for provider in self.oidc}) < len(self.oidc):
            raise ValueError("two providers of oidc have the same id")
        if self.log_prompts and not self.log_requests:
            raise ValueError("log_prompts needs log_requests = true")


STANDARD = ServerSettings()
