"""Take the documents' pictures of the chat with the model that ships: `python docs/images/take.py [DIRECTORY]`.

Writes chat.png, chat-inside.png and chat-phone.png, which belong to the repository, and welcome.png and chat-dark.png.
The conversations are in a home of their own, which is then removed.
"""

import os
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.chromium import find_chromium
from tests.command import Server, serve

QUESTIONS = ("Hello! Who are you?", "What can you do?")


def take(browser: Browser, server: Server, directory: Path) -> None:
    """Talk, then look at the same conversation in three ways."""
    page = browser.new_page(viewport={"width": 1180, "height": 740}, color_scheme="light", locale="en-GB")
    page.goto(server.entrance)
    page.wait_for_load_state("networkidle")
    page.screenshot(path=directory / "welcome.png")
    page.get_by_role("button", name="Settings of this chat").click()
    page.get_by_label("Temperature").fill("0")  # the likeliest answer, the same at every taking
    page.get_by_label("Keep how likely each word is").check()
    page.get_by_role("button", name="Save").click()
    for number, question in enumerate(QUESTIONS):
        composer = page.get_by_role("textbox").first
        composer.fill(question)
        composer.press("Enter")
        page.get_by_role("article").nth(2 * number + 1).get_by_text("bise-demo").wait_for()
    page.reload()  # a conversation opened again stands at its end, with nothing pinned
    page.get_by_role("article").nth(2 * len(QUESTIONS) - 1).get_by_text("bise-demo").wait_for()
    page.wait_for_timeout(500)
    page.screenshot(path=directory / "chat.png")
    look_inside(page)
    page.screenshot(path=directory / "chat-inside.png")
    page.emulate_media(color_scheme="dark")
    page.wait_for_timeout(300)
    page.screenshot(path=directory / "chat-dark.png")
    page.set_viewport_size({"width": 390, "height": 720})
    page.wait_for_timeout(300)
    page.screenshot(path=directory / "chat-phone.png")


def look_inside(page: Page) -> None:
    """Choose a word of the last answer that the model was not sure of."""
    page.get_by_role("button", name="Look inside").last.click()
    words = page.locator(".inspected .word")
    words.first.wait_for()
    unsure = words.evaluate_all("all => all.findLastIndex(word => word.dataset.level === 'likely')")
    words.nth(max(unsure, 0)).click()
    page.wait_for_timeout(300)


def main() -> None:
    """Serve the shipped model and photograph it."""
    directory = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    with tempfile.TemporaryDirectory() as home, sync_playwright() as playwright:
        os.environ["BISE_HOME"] = home  # noqa: TID251 for the server that is about to start
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox"])
        with serve(log=Path(home) / "log") as server:
            take(browser, server, directory)
        browser.close()


if __name__ == "__main__":
    main()
