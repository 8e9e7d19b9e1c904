"""Curation beside datatrove: `python -m benchmarks.curation_vs_datatrove --data DIR [--json] [--parts …]`.

DIR holds JSON lines packed with xz, one folder a source, as `recipes/everything` names them. `BISE_PEERS_PYTHON` names a
Python with datatrove[io,processing]==0.10.1, spacy, numba and llvmlite; it runs both sides of a comparison in one
process, in turns, on processor seconds, with this checkout's `src` on its path. Medians of the runs, with least and most.

    python3 -m venv ~/.cache/bise/curation-peers
    ~/.cache/bise/curation-peers/bin/pip install 'datatrove[io,processing]==0.10.1' spacy numba llvmlite numpy pyarrow
    export BISE_PEERS_PYTHON=~/.cache/bise/curation-peers/bin/python

    filters_ratio          Gopher repetition and quality, C4 and FineWeb filters: ours measure everything and decide
    filters_agreement      decisions and first reasons that are the same, with our tokens given to datatrove's filters
    near_duplicates_ratio  JSON lines in, JSON lines without near copies out: word 5-grams in 20 bands of 6 on both
                           sides, ours then compare candidates exactly; our turns take a second or more, theirs longer
    recall_at_0_9 …        near copies planted at a measured similarity that are found; below 0.7 that are removed
    pipeline_mb_per_cpu_s  the whole of `bise curate` with every step, from decompressed text; what is
                           decompressed and set up before any text is read is printed apart
    corpus_wall_s          `bise curate` over everything, kernels compiled before, on all cores
"""

import argparse
import json
import lzma
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.planted_duplicates import measure_recall
from bise.config import load_recipe
from bise.corpus.recipe import CurateRecipe, Source, SourceFile
from bise.corpus.rules import Rules

ROOT = Path(__file__).parents[1]
RECIPE = ROOT / "recipes" / "everything" / "curate.toml"
PEER_PARTS = ("agreement", "filters", "near")
RECALL_MB = 60.0  # of English text that pairs are planted in
PARTS = (*PEER_PARTS, "recall", "pipeline", "corpus")


def main() -> None:
    """Measure every part that was asked for, and print."""
    options = parse_options()
    figures: dict[str, Any] = {"load_before": load_average()}
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        if peer_parts := [part for part in PEER_PARTS if part in options.parts]:
            figures |= compare_with_peers(options, work, peer_parts)
        if "recall" in options.parts:
            figures |= measure_recall(english_texts(options.data, RECALL_MB), options.seed)
        if "pipeline" in options.parts:
            figures |= measure_pipeline(options, work)
        if "corpus" in options.parts:
            figures |= measure_corpus(options, work)
    figures["load_after"] = load_average()
    print(json.dumps(figures, indent=2) if options.json else "\n".join(f"{k:40} {v}" for k, v in figures.items()))


def parse_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--data", type=Path, required=True, help="the directory above pretrain/")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--mb", type=float, default=200.0, help="English text for our side; the peers get less")
    parser.add_argument("--pipeline-mb", type=float, default=300.0, help="of JSON lines")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--set", dest="overrides", action="append", default=[], help="of the recipe, KEY=VALUE")
    parser.add_argument("--peers-python", default=os.environ.get("BISE_PEERS_PYTHON"))
    options = parser.parse_args()
    if options.peers_python is None and set(options.parts) & set(PEER_PARTS):
        parser.error("Set BISE_PEERS_PYTHON to a Python that has datatrove; --help says what else.")
    return options


def load_average() -> float:
    """Of the last minute."""
    return round(os.getloadavg()[0], 2)


def compare_with_peers(options: argparse.Namespace, work: Path, parts: list[str]) -> dict[str, Any]:
    """Both sides in a process of the peers' Python."""
    texts = english_texts(options.data, options.mb)
    random.Random(options.seed).shuffle(texts)
    path = work / "english.jsonl"
    with path.open("w", encoding="utf-8") as file:
        file.writelines(
            json.dumps({"id": str(k), "text": text}, ensure_ascii=False) + "\n" for k, text in enumerate(texts)
        )
    command = [options.peers_python, "-m", "benchmarks.curation_peer_side", str(path), "--runs", str(options.runs)]
    variables = os.environ | {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}", "OMP_NUM_THREADS": "1"}
    with (work / "peers.log").open("w+", encoding="utf-8") as log:  # datatrove tells of every task
        done = subprocess.run(
            [*command, "--parts", *parts],
            cwd=ROOT,
            env=variables,
            check=False,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        if done.returncode:
            sys.exit((work / "peers.log").read_text(encoding="utf-8")[-4000:])
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def english_texts(data: Path, megabytes: float) -> list[str]:
    """English documents of every source in turn, about so many 10^6 bytes."""
    streams = [records(path) for path in sorted((data / "pretrain").glob("*/en-*.jsonl.xz"))]
    texts, size = [], 0.0
    while streams and size < megabytes * 1e6:
        for stream in list(streams):
            record = next(stream, None)
            if record is None:
                streams.remove(stream)
                continue
            texts.append(record["text"])
            size += len(record["text"].encode("utf-8"))
    return texts


def records(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a packed file of JSON lines."""
    with lzma.open(path, "rt", encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


def measure_pipeline(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """The whole recipe in one process over decompressed files."""
    recipe = load_recipe(RECIPE, CurateRecipe, (f"sources.root={options.data}", *options.overrides))
    began = time.process_time()
    sources, text_mb, stored_mb = decompress(recipe, options.pipeline_mb, work / "plain")
    plain = replace(
        recipe, sources=replace(recipe.sources, list=sources, root=work / "plain"), root=work / "runs", workers=1
    )
    figures: dict[str, Any] = {
        "pipeline_mb": round(text_mb, 1),
        "decompression_mb_per_cpu_s": round(stored_mb / (time.process_time() - began), 1),
    }
    # One document shows what models, tables and the index of evaluation data cost before any text is read.
    path = work / "plain" / sources[0].files[0].path
    (work / "plain" / "one.jsonl").write_bytes(path.read_bytes().splitlines(keepends=True)[0])
    one = replace(sources[0], files=(SourceFile("one.jsonl"),), clean=())
    setup = replace(plain, name="compile", rules=Rules(families=()), sources=replace(plain.sources, list=(one,)))
    curate_here(setup)
    setup_s = curate_here(replace(setup, name="setup"))
    seconds = sorted(curate_here(replace(plain, name=f"run{run}")) for run in range(min(options.runs, 3)))
    median_s = seconds[len(seconds) // 2]
    return figures | {
        "pipeline_mb_per_cpu_s": round(text_mb / (median_s - setup_s), 2),
        "pipeline_mb_per_cpu_s_spread": [round(text_mb / (taken - setup_s), 2) for taken in (seconds[-1], seconds[0])],
        "pipeline_setup_cpu_s": round(setup_s, 2),
        "pipeline_with_setup_mb_per_cpu_s": round(text_mb / median_s, 2),
    }


def curate_here(recipe: CurateRecipe) -> float:
    """Processor seconds of one run, with those of any process that it starts."""
    from bise.corpus.pipeline import curate

    began = processor_seconds()
    facts: dict[str, Any] = curate(recipe).facts
    seconds = processor_seconds() - began
    print(
        f"{recipe.name}: {seconds:.1f} s, {facts['measured']['processor_seconds']}",
        file=sys.stderr,
    )
    return seconds


def processor_seconds() -> float:
    """Of this process and of those that it waited for."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def decompress(recipe: CurateRecipe, megabytes: float, root: Path) -> tuple[tuple[Source, ...], float, float]:
    """The beginning of every file as plain JSON lines: sources over them, and 10^6 bytes of text and of JSON."""
    root.mkdir()
    if (recipe.sources.root / "eval").is_dir():  # what the recipe looks for contamination with
        (root / "eval").symlink_to((recipe.sources.root / "eval").resolve())
    files = [(source, file) for source in recipe.sources.list for file in source.files]
    share = megabytes * 1e6 / len(files)
    sources: dict[str, Source] = {}
    text_size, stored_size = 0, 0
    for number, (source, file) in enumerate(files):
        path = root / f"{number:03d}.jsonl"
        with lzma.open(recipe.sources.root / file.path, "rb") as packed, path.open("wb") as plain:
            written = 0
            for line in packed:
                plain.write(line)
                written += len(line)
                if written >= share:
                    break
        stored_size += written
        with path.open(encoding="utf-8") as plain_lines:
            text_size += sum(len(json.loads(line)["text"].encode("utf-8")) for line in plain_lines)
        before = sources[source.name].files if source.name in sources else ()
        sources[source.name] = replace(source, files=(*before, SourceFile(path.name)))
    return tuple(sources.values()), text_size / 1e6, stored_size / 1e6


def measure_corpus(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """Everything, by the command that a user types; a small run before has compiled the kernels."""
    overrides = (f"sources.root={options.data}", f"root={work / 'whole'}", *options.overrides)
    sets = [part for override in overrides for part in ("--set", override)]
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", "from bise.cli.main import run; run()", "curate", str(RECIPE), "--json", *sets],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    seconds = time.monotonic() - began
    facts = json.loads(done.stdout)
    return {"corpus_wall_s": round(seconds, 1), "corpus_mb": round(facts["read_bytes"] / 1e6, 1)}


if __name__ == "__main__":
    main()
