"""An address that cannot be taken is a sentence before anything else starts."""

import socket

import pytest

from bise.errors import InputError, UnavailableError
from bise.server.listen import bind


def test_a_taken_port_is_named_with_what_to_type() -> None:
    with bind("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(UnavailableError, match=rf"Port {port} .* bise serve --port {port % 65535 + 1}"):
            bind("127.0.0.1", port)


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.name.invalid", "2001:db8::1"])
def test_an_address_that_is_not_ours_is_a_sentence(host: str) -> None:
    with pytest.raises(InputError, match="no address of this machine"):
        bind(host, 0)


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_number_that_is_no_port_is_refused(port: int) -> None:
    with pytest.raises(InputError, match="not a port"):
        bind("127.0.0.1", port)


def test_a_port_can_be_taken_again_at_once() -> None:
    with bind("localhost", 0) as first:
        port = first.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            pass
    bind("localhost", port).close()
