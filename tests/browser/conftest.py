"""A running application, and a browser that is in and reports every request and every word of its console."""

import http.client
import json
import os
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.app.oidc_provider import running_provider
from tests.command import free_port

expect.set_options(timeout=20_000)  # machines that build and test at once are slow
ROOT = Path(__file__).parents[2]
PAGE = ROOT / "src/bise/app/static/index.html"


class Room:
    """The application's process, on the same port and database when it is started again."""

    def __init__(self, directory: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.home = directory
        self._database = directory / "bise.db"
        self.start()
        browser = http.client.HTTPConnection("127.0.0.1", self.port)
        browser.request("GET", self.entrance.removeprefix(self.root))
        self.cookie = (browser.getresponse().getheader("set-cookie") or "").partition(";")[0]
        browser.close()

    def start(self) -> None:
        command = [sys.executable, str(Path(__file__).with_name("room.py")), str(self.port), str(self._database)]
        paths = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
        environment = os.environ | {"PYTHONPATH": paths, "BISE_HOME": str(self.home)}
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        assert self._process.stdout is not None
        self.entrance = self._process.stdout.readline().strip()

    def kill(self) -> None:
        """End it as a power cut would."""
        self._process.kill()
        self._process.communicate()

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(self, method: str, path: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.root + path, data, {"cookie": self.cookie}, method=method)
        with urllib.request.urlopen(request) as response:
            return json.loads(response.read() or b"null")


@dataclass
class Chat:
    """The chat page in one browser."""

    room: Room
    page: Page
    requests: list[str] = field(default_factory=list)
    console: list[str] = field(default_factory=list)

    def ask(self, question: str) -> None:
        self.page.get_by_label("Message", exact=True).fill(question)
        self.page.keyboard.press("Enter")

    def answered(self, num_answers: int = 1) -> None:
        """Wait until so many answers have ended."""
        expect(self.page.locator(".answer footer")).to_have_count(num_answers)

    @property
    def answer(self) -> str:
        return self.page.locator(".answer .markdown").last.inner_text()


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    assert PAGE.exists(), "The page has not been built. Type: make web"
    running = Room(tmp_path_factory.mktemp("room"))
    yield running
    running.kill()


@pytest.fixture
def context_options() -> dict[str, Any]:
    """What kind of browser: tests override it."""
    return {"locale": "en-GB", "color_scheme": "light", "viewport": {"width": 1200, "height": 800}}


@pytest.fixture
def context(browser: Browser, room: Room, context_options: dict[str, Any]) -> Iterator[BrowserContext]:
    """A browser that was let in, into a room without conversations."""
    for conversation in room.ask("GET", "/api/conversations")["conversations"]:
        room.ask("DELETE", f"/api/conversations/{conversation['id']}")
    opened = browser.new_context(**context_options)
    name, _, value = room.cookie.partition("=")
    opened.add_cookies([{"name": name, "value": value, "url": room.root}])
    yield opened
    opened.close()


@pytest.fixture
def chat(context: BrowserContext, room: Room) -> Iterator[Chat]:
    """The page, open; afterwards it has asked no other host for anything, and its console is empty."""
    page = context.new_page()
    opened = Chat(room, page)
    page.on("request", lambda request: opened.requests.append(request.url))
    page.on("console", lambda message: opened.console.append(message.text))
    page.on("pageerror", lambda error: opened.console.append(str(error)))
    page.goto(room.root)
    yield opened
    assert {urlsplit(url).netloc for url in opened.requests} == {urlsplit(room.root).netloc}
    assert not opened.console


@dataclass
class Server:
    """A server with accounts, without an admin yet."""

    root: str
    code: str
    home: Path


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    with running_provider() as running:
        yield running


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, issuer: str) -> Iterator[Server]:
    assert PAGE.exists(), "The page has not been built. Type: make web"
    home, port = tmp_path_factory.mktemp("accounts"), free_port()
    command = [sys.executable, str(Path(__file__).with_name("room.py")), str(port), str(home / "bise.db"), "accounts"]
    command.append(issuer)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)]), "BISE_HOME": str(home)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        yield Server(f"http://127.0.0.1:{port}", process.stdout.readline().strip(), home)
        process.kill()
