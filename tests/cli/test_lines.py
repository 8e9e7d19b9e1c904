"""What a command tells of its progress when nobody looks at a terminal: whole lines, and few of them."""

import pytest

from bise.cli.lines import Lines
from bise.cli.progress import progress_bar
from bise.cli.training import watching


def told(capsys: pytest.CaptureFixture[str], num_steps: int, step_s: float) -> list[str]:
    moments = (step_s * step for step in range(num_steps))
    reporter = Lines(clock=lambda: next(moments))
    for step in range(1, num_steps + 1):
        reporter.advance("Training", step, num_steps, "loss 2.000")
    return capsys.readouterr().err.splitlines()


def test_a_line_now_and_then_says_how_far_and_how_long_still(capsys: pytest.CaptureFixture[str]) -> None:
    said = told(capsys, num_steps=101, step_s=1.0)
    assert said[0] == "Training: 4 %, about 1 min 37 s left, loss 2.000"
    assert said[-1] == "Training: done after 1 min 40 s, loss 2.000"
    assert said[1].startswith("Training: 14 %")
    assert len(said) == 11


def test_long_work_says_less_often(capsys: pytest.CaptureFixture[str]) -> None:
    assert len(told(capsys, num_steps=36_000, step_s=1.0)) < 150


def test_short_work_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert told(capsys, num_steps=100, step_s=0.01) == []


def test_bars_are_for_terminals_only(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar("Writing") as advance, watching() as reporter:
        reporter.say("It begins.")
        for step in range(1, 4):
            advance(step, 3, rate="2 MB/s")
            reporter.advance("Training", step, 3)
    assert capsys.readouterr().err == "It begins.\n"
