"""The chat page in Chromium: `python -m benchmarks.web [--json] [--runs N] [--peers DIR]`.

    updates_vs_whole       main-thread time of plain react-markdown over ours, for a 10,800-character answer in 200 updates
    updates_vs_streamdown  ours over streamdown's, the same
    first_load_kb          script and style of the first page and a first answer without maths or code, gzip, in kB
    open_500_ms            from the click to the last of 500 messages being painted, from a server that was just started
    key_p95_ms             from a key in the message field of that conversation to the frame that shows it; beside it the
                           same in a chat of one answer, what the machine allows at the moment

Needs the built page (`make web`). DIR, by default ~/.cache/bise/web-peers, holds the peers: it is filled from npm once.
Each update is a frame apart, in turns, and costs what the browser counts as its main thread's work, painting included.
Everything is a median over the runs, beside the least and the most.
"""

import argparse
import asyncio
import gzip
import importlib.util
import json
import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import ModuleType
from typing import Any

from playwright.sync_api import Browser, Page, Response, sync_playwright

from benchmarks.alternating import load_average, load_before
from bise.store.accounts import local_owner
from bise.store.branches import AnswerSettings, Question, add_turn
from bise.store.conversations import create_conversation
from bise.store.database import open_database
from bise.store.turns import COMPLETE, finish_answer
from tests.chromium import find_chromium
from tests.command import serve

ROOT = Path(__file__).parents[1]
SIDES = ("ours", "whole", "streamdown")
ANSWER = (ROOT / "tests/browser/answers/everything.md").read_text(encoding="utf-8")
NUM_CHARS, NUM_UPDATES = 10_800, 200
NUM_MESSAGES = 500
TYPED = "How does the wind come over the lake, and why is it so cold there in spring? " * 2
Figures = dict[str, Any]


def main() -> None:
    """Build the peers where they are missing, measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--peers", type=Path, default=Path.home() / ".cache/bise/web-peers")
    options = parser.parse_args()
    figures: Figures = {"load_before": load_before()}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox"])
        figures["chromium"] = browser.version
        figures |= measure_updates(browser, build_peers(options.peers), options.runs)
        figures |= measure_page(browser, options.runs)
        browser.close()
    figures["load_after"] = load_average()
    print(json.dumps(figures, indent=2) if options.json else "\n".join(f"{k:24} {v}" for k, v in figures.items()))


def build_peers(directory: Path) -> Path:
    """Install the peers once, and build the three ways of showing an answer, ours from this checkout."""
    builder = _client_builder()
    node, npm = builder.find_node()
    directory.mkdir(parents=True, exist_ok=True)
    for file in (ROOT / "benchmarks/web_side").iterdir():
        shutil.copy(file, directory)
    shutil.rmtree(directory / "web", ignore_errors=True)
    shutil.copytree(ROOT / "web/src", directory / "web/src")
    if not (directory / "node_modules/streamdown").is_dir():
        install = [node, npm, "install", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        builder.run(install, directory, "npm could not fetch the peers' packages.")
    vite = [node, "node_modules/vite/bin/vite.js", "build", "--logLevel=error"]
    builder.run(vite, directory, "The peers could not be bundled.")
    return directory / "dist"


def _client_builder() -> ModuleType:
    """The module that builds our client: it knows where Node is."""
    spec = importlib.util.spec_from_file_location("build_client", ROOT / "web/build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def measure_updates(browser: Browser, site: Path, runs: int) -> Figures:
    """Let the same answer grow on each side, in turns."""
    parts = [ANSWER.replace("A north wind", f"A north wind, part {part}") for part in range(20)]
    text = "\n\n".join(parts)[:NUM_CHARS]
    seconds: dict[str, list[float]] = {side: [] for side in SIDES}
    with _serving(site) as address:
        for run in range(runs):
            for side in SIDES[run % len(SIDES) :] + SIDES[: run % len(SIDES)]:
                seconds[side].append(_grow(browser, f"{address}/index.html?side={side}", text))
                print(f"{side}: {seconds[side][-1]:.2f} s", file=sys.stderr, flush=True)
    ours, whole, streamdown = (statistics.median(seconds[side]) for side in SIDES)
    return {
        "updates_vs_whole": round(whole / ours, 2),
        "updates_vs_streamdown": round(ours / streamdown, 2),
        "updates_s": {side: _spread(values) for side, values in seconds.items()},
    }


def _grow(browser: Browser, address: str, text: str) -> float:
    """Seconds of the main thread for all updates, after a warm-up that loads and compiles everything."""
    page = browser.new_page(viewport={"width": 900, "height": 800})
    page.goto(address)
    page.wait_for_function("window.grow")
    page.evaluate("text => window.grow(text, 20)", text)
    page.evaluate(
        "document.getElementById('root').replaceWith(Object.assign(document.createElement('div'), {id: 'root'}))"
    )
    devtools = page.context.new_cdp_session(page)
    devtools.send("Performance.enable")

    def busy() -> float:
        metrics = devtools.send("Performance.getMetrics")["metrics"]
        return float(next(metric["value"] for metric in metrics if metric["name"] == "TaskDuration"))

    before = busy()
    page.evaluate("([text, steps]) => window.grow(text, steps)", [text, NUM_UPDATES])
    after = busy()
    shown = page.locator("#root .katex").count()
    assert shown > 10, f"{address} shows {shown} formulas"
    page.close()
    return after - before


@contextmanager
def _serving(site: Path) -> Iterator[str]:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            del format, args

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site))) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def measure_page(browser: Browser, runs: int) -> Figures:
    """Open the real page on a home of its own, with a long conversation in it."""
    with tempfile.TemporaryDirectory() as home:
        os.environ["BISE_HOME"] = home
        with ThreadPoolExecutor(1) as elsewhere:  # Playwright runs a loop in this thread
            elsewhere.submit(lambda: asyncio.run(_fill())).result()
        with serve(log=Path(home) / "log") as server:
            context = browser.new_context(viewport={"width": 1200, "height": 800}, locale="en-GB")
            page = context.new_page()
            size = _first_load(page, server.entrance)
            new_chat = _type(page)
            opened = [_open(page, server.url) for _ in range(runs)]
            keys = [_type(page) for _ in range(runs)]
            context.close()
    return {
        "first_load_kb": round(size / 1000, 1),
        "open_500_ms": round(statistics.median(opened)),
        "key_p95_ms": round(statistics.median(keys), 1),
        "key_p95_new_chat_ms": round(new_chat, 1),
        "open_500": _spread(opened),
        "key_p95": _spread(keys),
    }


async def _fill() -> None:
    """A conversation of 500 messages: questions of a line, answers of a few paragraphs, some with tables and code."""
    database = await open_database()
    owner = (await local_owner(database)).id
    conversation = await create_conversation(database, owner)
    plain = "\n\n".join(block for block in ANSWER.split("\n\n") if "|" not in block and "```" not in block)
    for number in range(NUM_MESSAGES // 2):
        question = Question(f"Question {number}: what else is there to say?", f"c{number}")
        turn = await add_turn(database, owner, conversation.id, question, AnswerSettings("bise-demo"))
        content = f"Answer {number}.\n\n{ANSWER if number % 10 == 0 else plain}"
        done = replace(turn.assistant_message, content=content, status=COMPLETE)
        await finish_answer(database, conversation.id, done, turn.first_event + 2)
    await database.close()


def _first_load(page: Page, entrance: str) -> int:
    """Bytes of script and style, compressed, up to the end of a first answer of plain words."""
    files: dict[str, bytes] = {}

    def keep(answer: Response) -> None:
        if answer.url.partition("?")[0].endswith((".js", ".css")):
            files[answer.url] = answer.body()

    page.on("response", keep)
    page.goto(entrance)
    page.get_by_role("textbox").first.fill("Hello!")
    page.keyboard.press("Enter")
    page.locator(".answer footer").wait_for(timeout=120_000)
    page.wait_for_load_state("networkidle")
    page.remove_listener("response", keep)
    return sum(len(gzip.compress(body, 6)) for body in files.values())


OPEN = """async (last) => {
    const button = [...document.querySelectorAll("nav button")].find((each) => each.textContent.startsWith("Question 0"));
    const began = performance.now();
    button.click();
    for (;;) {
        await new Promise((resolve) => requestAnimationFrame(resolve));
        const answer = [...document.querySelectorAll("article.answer")].at(-1);
        const box = answer?.textContent.includes(last) && answer.getBoundingClientRect();
        if (box && box.top < innerHeight && box.bottom > 0) break;
        if (performance.now() - began > 60000) throw new Error("it did not open");
    }
    await new Promise((resolve) => { const channel = new MessageChannel(); channel.port1.onmessage = resolve; channel.port2.postMessage(0); });
    return performance.now() - began;
}"""


def _open(page: Page, address: str) -> float:
    """Milliseconds from the click until the end of the conversation is painted."""
    page.goto(address)
    page.get_by_role("button", name="Question 0").first.wait_for()
    page.wait_for_load_state("networkidle")
    return float(page.evaluate(OPEN, f"Answer {NUM_MESSAGES // 2 - 1}."))


WATCH_KEYS = """() => {
    window.keys = [];
    document.addEventListener("keydown", (event) => {
        requestAnimationFrame(() => {
            const channel = new MessageChannel();
            channel.port1.onmessage = () => window.keys.push(performance.now() - event.timeStamp);
            channel.port2.postMessage(0);
        });
    }, true);
}"""


def _type(page: Page) -> float:
    """The 95th percentile of the milliseconds from a key to the frame after it."""
    page.evaluate(WATCH_KEYS)
    field = page.locator("#composer")
    field.fill("")
    field.press_sequentially(TYPED, delay=40)
    page.wait_for_timeout(300)
    times = sorted(page.evaluate("window.keys"))
    page.evaluate("window.keys = []")
    assert len(times) >= len(TYPED)
    return float(times[round(0.95 * (len(times) - 1))])


def _spread(values: Sequence[float]) -> list[float]:
    """Least, median and most."""
    return [round(each, 2) for each in (min(values), statistics.median(values), max(values))]


if __name__ == "__main__":
    main()
