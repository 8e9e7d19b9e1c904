import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest

from bise.evals.report import write_report
from bise.evals.results import EvaluatedModel, Item, Protocol, Results, Usage, write_items
from bise.evals.run import make_result
from bise.evals.score_plot import Point, PointRow, score_plot
from bise.evals.tasks import Task

HOSTILE = "<script>alert(1)</script>"


def results(directory: Path, name: str, num_right: int, shots: int = 0) -> Results:
    binary = [Item(str(n), float(n < num_right), group=f"part {n % 2}", chance=0.5) for n in range(40)]
    bits = [Item(str(n), 900.0 + n, 300.0) for n in range(5)]
    written = [Item("w", 0.0, answer=HOSTILE, expected="4"), Item("x", 1.0, answer="4", expected="4")]
    made = []
    for task, items, scoring in (
        ("pairs", binary, "likelihood"),
        ("bits-en", bits, "likelihood"),
        ("sums", written, "generation"),
    ):
        is_bits = task == "bits-en"
        kind = Task(
            "s",
            task,
            "bits_per_byte" if is_bits else "acc",
            (),
            lambda *_: [],
            "likelihood",
            is_binary=not is_bits,
            higher_is_better=not is_bits,
        )
        protocol = Protocol(
            "generation" if scoring == "generation" else "likelihood", "lm-eval 0", "1", shots, "none", 1
        )
        made.append(make_result(kind, items, protocol, Usage(2.0, 3, 400, 50, "1.25 EUR")))
        write_items(directory, task, items)
    return Results(EvaluatedModel(name, "local", "ab" * 32), tuple(made))


def test_the_page_tells_scores_their_worth_and_shuts_strangers_text_out(tmp_path: Path) -> None:
    ours, theirs = results(tmp_path, "ours", 21), results(tmp_path, "theirs", 39, shots=5)
    text = write_report(tmp_path, ours, [replace(theirs, tasks=theirs.tasks[:1])]).read_text(encoding="utf-8")
    assert HOSTILE not in text
    assert "&lt;script&gt;" in text
    assert "default-src 'none'" in text
    for told in (
        "<b>52.5</b>",
        "<b>97.5</b>",
        "not distinguishable from chance",
        "other protocol",
        "3.75",
        "n 40",
        "part 0",
    ):
        assert told in text, told
    assert text.count("–</td>") == 2  # the other model has one score of three
    assert "://" not in text


def test_the_page_is_well_formed(tmp_path: Path) -> None:
    text = write_report(tmp_path, results(tmp_path, "a & b", 21)).read_text(encoding="utf-8")
    body = text[text.index("<main>") : text.index("</main>") + len("</main>")]
    assert ET.fromstring(body).tag == "main"


def test_points_keep_their_order_on_the_plots_scale() -> None:
    rows = [PointRow("t", [Point("a", 0.2, 0.05, "kept"), Point("b", 0.8, 0.1, "kept")], chance=0.5)]
    plot = ET.fromstring(score_plot(rows, "words"))
    first, second = (float(circle.get("cx", "")) for circle in plot.iter("circle"))
    (line,) = (path.get("d", "") for path in plot.iter("path") if path.get("class") == "chance")
    chance = float(line[1:].split(" ")[0])
    assert first < chance < second
    assert (chance - first) / (second - first) == pytest.approx(0.5, abs=0.01)
