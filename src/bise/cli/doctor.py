"""`bise doctor`: what this machine has, what is missing, what to type."""

import json
import shutil
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

from bise import __version__

EXTRAS = {
    "corpus": ("brotli", "ftfy", "lxml_html_clean", "py3langid", "pyarrow", "resiliparse", "trafilatura"),
    "train": ("pyarrow", "torch"),
}
EXTRA_VERBS = {"corpus": "curate", "train": "train and tune"}
LITTLE_DISK_BYTES = 1 << 30


@click.command("doctor")
@click.option("--warm", "warm_first", is_flag=True, help="First compile the engine's kernels, if that was not done.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def command(warm_first: bool, as_json: bool) -> None:
    """What this machine has, what is missing, and what to type."""
    if warm_first:
        compile_kernels()
    findings = examine()
    if as_json:
        click.echo(json.dumps(findings, indent=2))
        return
    for name, value in findings.items():
        if name != "missing":
            click.echo(f"{name.removesuffix('_bytes').replace('_', ' '):18} {_in_words(value)}")
    click.echo()
    for line in findings["missing"] or ["Nothing is missing."]:
        click.echo(line)


def compile_kernels() -> None:
    """Compile the kernels with a bar on stderr; quick when they are in the cache."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from bise.engine.kernels.table import compiler_problem
    from bise.engine.warm import warm
    from bise.openness.trace import warm as warm_trace

    columns = (
        TextColumn("Preparing the engine"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        began = time.monotonic()
        warm(lambda kernel, done, total: bar.update(task, description=kernel, completed=done, total=total))
        if compiler_problem() is None:
            bar.update(task, description="looking up")
            warm_trace()
    click.echo(f"The engine is ready ({time.monotonic() - began:.1f} s).", err=True)


def examine() -> dict[str, Any]:
    """Everything the report says, ready for JSON; `missing` holds sentences."""
    from bise import config
    from bise.engine.machine import describe_machine
    from bise.engine.warm import warmth
    from bise.weights.store import list_models

    machine, engine, home = describe_machine(), warmth(), config.home()
    free = shutil.disk_usage(_existing(home)).free
    findings: dict[str, Any] = {
        "bise": __version__,
        "python": sys.version.split()[0],
        "processor": machine.processor,
        "instruction_sets": list(machine.instruction_sets),
        "cores": machine.cores,
        "memory_bytes": machine.memory_bytes,
        "kernels": engine.kernels,
        "instruction_set": engine.instruction_set,
        "numba": _version("numba"),
        "kernels_compiled": engine.is_warm,
        "kernel_cache": str(engine.cache) if engine.cache else None,
        "home": str(home),
        "disk_free_bytes": free,
        "models": [model.name for model in list_models()],
        "page_built": page_is_built(),
        "extras": {name: all(map(find_spec, modules)) for name, modules in EXTRAS.items()},
    }
    return {**findings, "missing": list(_missing(findings, engine.reason))}


def page_is_built() -> bool:
    """Whether the chat's web page is in the package."""
    import bise.app

    return (Path(bise.app.__path__[0]) / "static" / "index.html").is_file()


def _missing(findings: dict[str, Any], reason: str | None) -> list[str]:
    sentences = []
    if reason is not None:
        cure = " To reinstall: pip install --upgrade numba" if "numba" in reason else ""
        sentences.append(f"The engine runs on its slow NumPy path: {reason}.{cure}")
    elif findings["kernel_cache"] is None:
        sentences.append("Compiled kernels cannot be kept, so every start takes many seconds: make ~/.cache writable.")
    elif not findings["kernels_compiled"]:
        sentences.append(
            "The first start compiles the kernels, which takes some seconds. To do it now: bise doctor --warm"
        )
    if findings["kernels"] == "numba" and not {"avx2", "avx512f", "neon"} & set(findings["instruction_sets"]):
        sentences.append("This processor has no AVX2, so answers will be slow.")
    if not findings["models"]:
        sentences.append("There is no model. Train one, or take one in: bise pull RUN --name NAME")
    if not findings["page_built"]:
        sentences.append("The chat page is not built, so only the API works. In a checkout, type: make web")
    if findings["disk_free_bytes"] < LITTLE_DISK_BYTES:
        sentences.append(f"Only {_in_words(findings['disk_free_bytes'])} are free where {findings['home']} lies.")
    for name, installed in findings["extras"].items():
        if not installed:
            sentences.append(f'To be able to {EXTRA_VERBS[name]}: pip install "bise[{name}]"')
    return sentences


def _existing(path: Path) -> Path:
    return path if path.exists() else _existing(path.parent)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _in_words(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and value > 1 << 20:
        return f"{value / 2**30:.1f} GiB"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_in_words(item)}" for name, item in value.items())
    return "none" if value is None else str(value)
