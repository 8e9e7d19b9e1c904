"""General text that nobody tunes on, to see by bits per byte whether a tune forgets what its base could.

Best are the documents that the base's own run held out. Where they are gone, or the base came from elsewhere, the recipe
may name texts; else a few paragraphs of the package serve, written for it in five languages.
"""

import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from bise.errors import InputError, NotFoundError
from bise.runs import MANIFEST, read_manifest
from bise.tokenizer.chat import ChatTokenizer
from bise.tokenizer.shards import Shards
from bise.train.loader import shard_rows
from bise.train.packing import Batch, PackedRows, Sample
from bise.train.shards import Split, held_out_shards
from bise.tune.recipe import GeneralText, TuneRecipe

_PREFIX = "text "


def general_batches(recipe: TuneRecipe, tokenizer: ChatTokenizer, row_length: int) -> dict[str, Batch]:
    """Rows of general text by "text" and language, at most `held_out_rows` of each.

    Raises:
        NotFoundError: a file that the recipe names is not there.
        InputError: it holds no texts.
    """
    shards = {} if recipe.general_text else _of_the_base(recipe.base, tokenizer)
    if shards:
        packed = {lang: shard_rows(own, tokenizer.bos_id, row_length, seed=0) for lang, own in shards.items()}
    else:
        texts = _named(recipe.general_text) if recipe.general_text else _shipped()
        packed = {lang: _rows(own, tokenizer, row_length) for lang, own in texts.items()}
    return {_PREFIX + lang: rows.batch(0, min(recipe.held_out_rows, rows.num_rows)) for lang, rows in packed.items()}


def _of_the_base(base: Path, tokenizer: ChatTokenizer) -> dict[str, Shards]:
    """The held-out documents of the training run that the base came from, if it is here."""
    if not (base / MANIFEST).exists():
        return {}
    manifest = read_manifest(base)
    config: Mapping[str, Any] = manifest.config
    if manifest.stage == "tune" and "base" in config:
        return _of_the_base(Path(config["base"]), tokenizer)
    if manifest.stage != "train" or not {"corpus", "held_out_fraction", "repeats", "root"} <= config.keys():
        return {}
    split = Split(config["held_out_fraction"], config["repeats"])
    return held_out_shards(Path(config["corpus"]), tokenizer, split, Path(config["root"]))


def _named(texts: GeneralText) -> dict[str, list[str]]:
    paths = [path for file in texts.files for path in sorted(texts.root.glob(file.path))]
    if not paths:
        raise NotFoundError(f"There are no files {', '.join(file.path for file in texts.files)} below {texts.root}.")
    found: dict[str, list[str]] = {}
    for path in paths:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            try:
                record = json.loads(line)
                found.setdefault(str(record.get("lang", "und")), []).append(record["text"])
            except (ValueError, KeyError, AttributeError, TypeError):
                raise InputError(f'{path}:{number}: not {{"text": …, "lang": …}}. Mend or remove the line.') from None
    return found


def _shipped() -> dict[str, list[str]]:
    lines = (files("bise.tune") / "texts" / "general.jsonl").read_text(encoding="utf-8").splitlines()
    found: dict[str, list[str]] = {}
    for record in map(json.loads, lines):
        found.setdefault(record["lang"], []).append(record["text"])
    return found


def _rows(texts: list[str], tokenizer: ChatTokenizer, row_length: int) -> PackedRows:
    """Texts cut into pieces that each begin with BOS, packed."""
    pieces = []
    for text in texts:
        ids = tokenizer.encode(text)
        starts = range(0, len(ids), row_length)
        pieces += [Sample(np.array([tokenizer.bos_id, *ids[start : start + row_length]], np.int64)) for start in starts]
    places = np.array([len(piece.ids) - 1 for piece in pieces], np.int64)
    return PackedRows(places, lambda item: (pieces[item],), row_length, seed=0)
