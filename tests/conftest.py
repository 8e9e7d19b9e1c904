"""What every test stands on: a home of its own, a browser where there is one, and an honest end to the run.

The end of a run names what it left out: tests deselected by marker, and skips with their reasons. With CI=true a
browser test that is skipped has failed, so that a machine without a browser cannot pass for one with.
"""

import os
from collections import Counter
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.chromium import find_chromium
from tests.postgres import Postgres, running_postgres

WORDS = {"slow": "make test", "browser": "make test", "peers": "make test-peers", "gpu": "pytest -m gpu"}
left_out = pytest.StashKey[Counter[str]]()


@pytest.fixture(scope="session", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep models, database and keys of the person who runs the tests out of their reach, subprocesses included."""
    directory = tmp_path_factory.mktemp("bise-home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BISE_HOME", str(directory))
        yield directory


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL of this run's own; started by the first test that wants it."""
    with running_postgres() as server:
        yield server


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A headless Chromium; one a module, because Playwright's loop must be gone before asynchronous tests run."""
    executable = find_chromium()
    if executable is None:
        pytest.skip("there is no Chromium: type `playwright install chromium`")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A fresh browser profile with one page, closed afterwards."""
    context = browser.new_context()
    yield context.new_page()
    context.close()


def pytest_deselected(items: list[pytest.Item]) -> None:
    """Remember what this run's `-m` left out."""
    if not items:
        return
    counts = items[0].config.stash.setdefault(left_out, Counter())
    for item in items:
        marks = [mark.name for mark in item.iter_markers() if mark.name in WORDS]
        counts[marks[0] if marks else "not asked for"] += 1


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skipped browser test into a failed one where CI=true."""
    report = yield
    if report.skipped and os.environ.get("CI") == "true" and item.get_closest_marker("browser"):
        report.outcome = "failed"
        report.longrepr = f"With CI=true a browser test may not be skipped: {report.longrepr}"
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what was left out and which words run it; `-ra` has printed the skips with their reasons above."""
    counts = terminalreporter.config.stash.get(left_out, Counter())
    parts = [f"{count} {kind}" + (f" ({WORDS[kind]})" if kind in WORDS else "") for kind, count in counts.items()]
    skipped = len(terminalreporter.stats.get("skipped", []))
    parts += [f"{skipped} skipped for the reasons above"] if skipped else []
    terminalreporter.write_line(f"Left out of this run: {', '.join(parts) or 'nothing'}.")
