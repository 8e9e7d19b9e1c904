"""What is under deploy/ says what systemd, compose and our own commands understand. Nothing here starts a container."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from bise.cli.reference import root_context
from bise.cli.serve import command
from bise.config import load_recipe
from bise.server.settings import ServerSettings

DEPLOY = Path(__file__).parents[2] / "deploy"
MAX_EXPOSURE = 30  # tenths; of the services that systemd itself ships, most are above 60

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze: apt install systemd"
)


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command_line = ["systemd-analyze", *map(str, arguments)]
    return subprocess.run(command_line, check=False, capture_output=True, text=True)


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit with a program that is on every machine."""
    text = (DEPLOY / "bise.service").read_text(encoding="utf-8")
    path = tmp_path / "bise.service"
    path.write_text(text.replace("/opt/bise/bin/bise", "/bin/true"), encoding="utf-8")
    return path


@needs_systemd
def test_the_unit_is_one_that_systemd_understands(unit: Path) -> None:
    done = analyze("verify", "--man=no", unit)
    assert (done.returncode, done.stderr) == (0, "")
    unit.write_text(unit.read_text(encoding="utf-8").replace("ProtectHome", "ProtectHouse"), encoding="utf-8")
    assert "ProtectHouse" in analyze("verify", "--man=no", unit).stderr


@needs_systemd
def test_the_unit_may_do_little(unit: Path) -> None:
    done = analyze("security", "--offline=true", f"--threshold={MAX_EXPOSURE}", "--no-pager", unit)
    assert done.returncode == 0, done.stdout[-2000:]


def check_compose(path: Path) -> subprocess.CompletedProcess[str]:
    command_line = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(path)]
    return subprocess.run(command_line, check=False, capture_output=True, text=True)


def test_the_compose_file_keeps_to_compose_s_schema(tmp_path: Path) -> None:
    done = check_compose(DEPLOY / "compose.yaml")
    assert done.returncode == 0, done.stdout
    text = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
    (tmp_path / "compose.yaml").write_text(text.replace("cap_drop", "cap_dropp"), encoding="utf-8")
    assert "cap_dropp" in check_compose(tmp_path / "compose.yaml").stdout


def test_files_that_are_named_are_there() -> None:
    text = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
    for name in re.findall(r"- \./(\S+?):", text):
        assert (DEPLOY / name).is_file(), name
    assert (DEPLOY.parent / "deploy/Dockerfile").is_file()


def test_the_commands_are_ours_and_wait_for_the_drain() -> None:
    unit = (DEPLOY / "bise.service").read_text(encoding="utf-8")
    compose = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
    (started,) = re.findall(r"^ExecStart=\S+ serve (.*)$", unit, re.MULTILINE)
    (listed,) = re.findall(r'command: \["serve", (.*)\]', compose)
    for words in (started.split(), re.findall(r'"([^"]+)"', listed)):
        command.parse_args(click.Context(command, parent=root_context()), list(words))
    settings = load_recipe(DEPLOY / "settings.toml", ServerSettings)
    (stop_s,) = re.findall(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE)
    (grace_s,) = re.findall(r"stop_grace_period: (\d+)s", compose)
    assert min(int(stop_s), int(grace_s)) > settings.notice_s + settings.drain_s
    assert not settings.log_prompts
