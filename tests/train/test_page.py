"""The report of a run: a page that loads nothing, tells what was measured, and escapes what others wrote."""

import json
import tomllib
from html.parser import HTMLParser
from pathlib import Path

import pytest

from bise.runs import Input, RunDirectory
from bise.train.curves import Curve, plot, smoothed
from bise.train.page import write_report

FACTS = {
    "parameters": 98_544,
    "tokens": 2_000_000,
    "steps": 3,
    "training_seconds": 100.0,
    "loss": 2.5,
    "loss_unit": "nats per pair + 0.2 x nats per token",
    "mfu": 0.3,
    "held_out": {"en": {"loss": 2.0, "bits_per_byte": 1.5}, "pairs en": {"accuracy": 0.75, "loss": 0.25}},
    "held_out_before": {"en": {"loss": 4.0, "bits_per_byte": 3.0}, "pairs en": {"accuracy": 0.5, "loss": 0.693}},
    "warnings": ["It became worse at <b>French</b>."],
    "flops": 1e12,
    "flops_formula": "6 * weights",
    "peak_flops_per_s": 1e11,
    "precision": "bf16",
    "cost": "0.30 EUR",
}
CONFIG = {"name": "a <run>", "base": None, "optimizer": {"matrix_learning_rate": 0.006}, "sources": [{"name": "x"}]}


class Tags(HTMLParser):
    """Collects the tags of a page, and complains about what is not closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        del attrs
        self.seen.add(tag)
        if tag not in ("meta", "path", "rect", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("path", "rect"):
            assert self.open.pop() == tag


@pytest.fixture
def page(tmp_path: Path) -> str:
    run = RunDirectory(tmp_path, "train", "a <run>")
    held_out = [FACTS["held_out_before"], FACTS["held_out"]]
    run.log_metrics({"step": 0, "held_out": held_out[0]})
    for step in (1, 2, 3):
        run.log_metrics(
            {"step": step, "loss": 5.0 - step, "tokens_per_s": 10.0, "mfu": 0.3, "learning_rate_factor": 1.0}
        )
    run.log_metrics({"step": 3, "held_out": held_out[1]})
    write_report(run, CONFIG, [Input("run", "curate/small", "ab" * 32)], FACTS)
    return (run.path / "report.html").read_text(encoding="utf-8")


def test_it_is_well_formed_and_loads_nothing(page: str) -> None:
    tags = Tags()
    tags.feed(page)
    assert tags.open == []
    assert not tags.seen & {"script", "link", "img", "iframe"}
    assert "default-src 'none'" in page


def test_it_tells_what_was_measured(page: str) -> None:
    for words in ("3.000 → 1.500", "0.500 → 0.750", "bits per byte", "0.30 EUR", "ab" * 32, "98,544", "2.0 M"):
        assert words in page, words
    assert page.count("<polyline") == 2 + 1 + 1 + 1 + 1 + 3  # loss and its mean; four measures held out; rates


def test_losses_are_named_by_what_they_count(page: str) -> None:
    assert "loss of the last steps, nats per pair + 0.2 x nats per token" in page
    cards = {card.split("</h3>")[0] for card in page.split("<h3>")[1:]}
    assert {"nats per token", "nats per pair"} <= cards
    assert "0.693 → 0.250" in page


def test_what_others_wrote_is_escaped(page: str) -> None:
    assert "<run>" not in page
    assert "<b>French" not in page
    assert "worse at &lt;b&gt;French" in page


def test_the_recipe_can_be_read_again(page: str) -> None:
    from html import unescape

    text = unescape(page.split("<pre>")[1].split("</pre>")[0])
    read = tomllib.loads(text)
    assert read == {key: value for key, value in json.loads(json.dumps(CONFIG)).items() if value is not None}


def test_of_an_adapter_its_own_learning_rate_is_shown(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path, "tune", "adapter")
    for step, factor in ((1, 1.0), (2, 0.5)):
        run.log_metrics({"step": step, "loss": 1.0, "tokens_per_s": 1.0, "mfu": 0.1, "learning_rate_factor": factor})
    rates = {"matrix_learning_rate": 0.02, "embedding_learning_rate": 0.004}
    write_report(run, {"optimizer": rates, "adapter": {"rank": 8}}, [], FACTS)
    text = (run.path / "report.html").read_text(encoding="utf-8")
    assert "<title>Learning rate of the adapter: 0.002 at step 2</title>" in text


def test_a_single_step_has_no_curve() -> None:
    assert plot([Curve("loss", [(1, 2.0)], "kept")], "loss") == ""
    assert plot([], "nothing") == ""


@pytest.mark.parametrize("number", [2, 50, 5000])
def test_a_running_mean_stays_within_what_it_averages(number: int) -> None:
    points = [(float(step), float(step % 7)) for step in range(number)]
    means = [value for _, value in smoothed(points)]
    assert len(means) == number
    assert 0 <= min(means) <= max(means) <= 6
