"""A model of 7 billion parameters taken in: `python benchmarks/large_model.py [--json] [--bits 4] [--files DIRECTORY]`.

A random model of Mistral 7B's shape, 14.5 GB of bfloat16 in shards of Hugging Face's format, goes through `bise pull`, which
is killed at a third and started again. It needs 20 GB of disk, which are free again at the end.

    peak_mb       most memory that the program held at once, mapped pages of files included, in both runs together
    first_s       until it was killed
    second_s      from there to the whole model
    kept_share    of the model's file, what the second run did not have to write again
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that it runs by its path, too

from benchmarks.alternating import load_before, machine_facts
from benchmarks.model_files import random_parts
from benchmarks.random_model import SMALL, vocabulary
from bise.config import cache_home
from bise.tokenizer.tekken import CONTROL_TOKENS, write_tekken
from bise.weights.files import WEIGHTS_FILE
from bise.weights.formats import hugging_face
from bise.weights.spec import ModelSpec
from bise.weights.tensor_file import tensor_sizes, write_parts

SEVEN_BILLION = ModelSpec(
    vocab_size=32_768,
    hidden_size=4096,
    num_layers=32,
    num_heads=32,
    num_kv_heads=8,
    head_dim=128,
    ffn_size=14_336,
    context_length=32_768,
    rope_theta=1e6,
)
_LAYERS_A_SHARD = 8
_KILLED_AT = 1 / 3


def main() -> None:
    """Write the model, take it in twice, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--bits", default="4", choices=["4", "mixed", "8", "16"])
    parser.add_argument("--files", type=Path, default=cache_home() / "benchmarks" / "large_model")
    parser.add_argument("--small", action="store_true", help="a small model, to try the benchmark itself")
    options = parser.parse_args()
    report: dict[str, Any] = {"load_before": load_before()}
    try:
        report |= take_in(
            options.files, replace(SMALL, num_layers=40) if options.small else SEVEN_BILLION, options.bits
        )
    finally:
        shutil.rmtree(options.files, ignore_errors=True)
    report["machine"] = machine_facts()
    print(json.dumps(report, indent=2) if options.json else "\n".join(f"{k:16} {v}" for k, v in report.items()))


def take_in(directory: Path, spec: ModelSpec, bits: str) -> dict[str, Any]:
    """The figures of one interrupted pull."""
    source = write_shards(directory / "source", spec)
    size = sum(path.stat().st_size for path in source.iterdir())
    part = directory / "home/models/.large.part" / (WEIGHTS_FILE + ".part")
    will_be = size * {"4": 4.5, "mixed": 4.6, "8": 8.5, "16": 16}[bits] / 16
    first_s, first_mb, status = _pull(source, directory / "home", bits, part, _KILLED_AT * will_be)
    assert status == -signal.SIGKILL, f"the first run ended by itself, with {status}"
    note = part.with_name(part.name + ".progress")
    kept = json.loads(note.read_text(encoding="utf-8"))["bytes"] if note.is_file() else 0
    second_s, second_mb, status = _pull(source, directory / "home", bits, part, float("inf"))
    assert status == 0, f"the second run ended with {status}"
    whole = (directory / "home/models/large" / WEIGHTS_FILE).stat().st_size
    return {
        "source_mb": round(size / 1e6),
        "model_mb": round(whole / 1e6),
        "peak_mb": round(max(first_mb, second_mb)),
        "first_s": round(first_s, 1),
        "second_s": round(second_s, 1),
        "kept_share": round(kept / whole, 3),
    }


def write_shards(directory: Path, spec: ModelSpec) -> Path:
    """The random model as Hugging Face directories hold such ones."""
    directory.mkdir(parents=True, exist_ok=True)
    shards: dict[int, dict[str, tuple[str, tuple[int, ...]]]] = {}
    for name, shape in spec.tensor_shapes().items():
        number = int(name.split(".")[1]) // _LAYERS_A_SHARD if name.startswith("layers.") else 0
        shards.setdefault(number, {})[hugging_face.hugging_face_name(name)] = ("BF16", shape)
    weight_map: dict[str, str] = {}
    for number, layout in shards.items():
        file = f"model-{number + 1:05}-of-{len(shards):05}.safetensors"
        write_parts(directory / file, layout, random_parts(layout))
        weight_map |= dict.fromkeys(layout, file)
    total = sum(sum(tensor_sizes(layout)) for layout in shards.values())
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    (directory / hugging_face.INDEX).write_text(json.dumps(index), encoding="utf-8")
    (directory / hugging_face.CONFIG).write_text(
        json.dumps(hugging_face.make_config(spec, "bfloat16")), encoding="utf-8"
    )
    write_tekken(vocabulary(spec.vocab_size - len(CONTROL_TOKENS)), directory / "tekken.json")
    return directory


def _pull(source: Path, home: Path, bits: str, part: Path, killed_at: float) -> tuple[float, float, int]:
    """Run `bise pull` until it ends or its file has so many bytes: seconds, peak in megabytes, status."""
    command = [sys.executable, "-m", "bise", "pull", str(source), "--name", "large", "--bits", bits]
    began, peak_kb = time.monotonic(), 0
    process = subprocess.Popen(command, env={**os.environ, "BISE_HOME": str(home)}, stdout=subprocess.DEVNULL)
    while process.poll() is None:
        peak_kb = max(peak_kb, _peak_kb(process.pid))
        if part.is_file() and part.stat().st_size >= killed_at:
            process.kill()
            process.wait()
        time.sleep(0.02)
    return time.monotonic() - began, peak_kb / 1024, process.wait()


def _peak_kb(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), 0)


if __name__ == "__main__":
    main()
