"""Conversations to packed rows with loss on what the assistant says only."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bise.errors import InputError
from bise.runs import Input, file_input
from bise.tokenizer.chat import ChatTokenizer
from bise.train.packing import PackedRows, Sample
from bise.train.report import Reporter
from bise.tune.conversations import Line, find_files, read_source
from bise.tune.recipe import ConversationSource, TuneRecipe

_UNKNOWN_LANGUAGE = "und"  # ISO 639-3's code for it


@dataclass
class TuneData:
    """What is learned, what is held out by language, and what was left out: all counted."""

    learned: list[Sample] = field(default_factory=list)
    held_out: dict[str, list[Sample]] = field(default_factory=dict)
    inputs: list[Input] = field(default_factory=list)
    facts: dict[str, dict[str, object]] = field(default_factory=dict)  # by source


def prepare(recipe: TuneRecipe, tokenizer: ChatTokenizer, row_length: int, reporter: Reporter) -> TuneData:
    """Read and check every source, then render all conversations.

    Raises:
        NotFoundError: a file is not there.
        InputError: a line breaks the rules, or nothing is left to learn or to hold out.
    """
    sources = [(source, Path()) for source in recipe.conversations]
    sources += [(source, recipe.sources.root) for source in recipe.sources.list]
    read = [(source, root, read_source(source, root)) for source, root in sources]
    data = TuneData()
    for source, root, lines in read:
        data.inputs += [file_input(path) for path in find_files(source, root)]
        _add(data, source, lines, recipe.held_out_fraction, tokenizer, row_length, reporter)
    if not data.learned or not data.held_out:
        raise InputError(
            f"{len(data.learned):,} conversations are left to learn and "
            f"{sum(map(len, data.held_out.values())):,} to hold out, but both must be at least one. "
            "Add conversations or change held_out_fraction."
        )
    return data


def rows(samples: Iterable[Sample], row_length: int, seed: int) -> PackedRows:
    """Pack conversations; those in one row do not see each other."""
    kept = list(samples)
    places = np.array([len(sample.ids) - 1 for sample in kept], np.int64)
    return PackedRows(places, kept.__getitem__, row_length, seed)


def _add(
    data: TuneData,
    source: ConversationSource,
    lines: list[Line],
    held_out_fraction: float,
    tokenizer: ChatTokenizer,
    row_length: int,
    reporter: Reporter,
) -> None:
    longest = min(row_length + 1, source.max_tokens or row_length + 1)
    num_learned = num_held_out = num_too_long = 0
    for done, line in enumerate(lines, start=1):
        reporter.advance(f"Rendering {source.name}", done, len(lines))
        rendered = tokenizer.render(line.conversation, for_completion=False)
        if len(rendered.ids) > longest:
            num_too_long += 1
            continue
        sample = Sample(np.array(rendered.ids, np.int64), np.array(rendered.loss_mask, np.bool_))
        share = int(line.sha256[:8], 16) / 16**8
        if share < held_out_fraction:
            data.held_out.setdefault(line.lang or _UNKNOWN_LANGUAGE, []).append(sample)
            num_held_out += 1
        else:
            data.learned += [sample] * _num_copies(source.repeats, int(line.sha256[8:16], 16) / 16**8)
            num_learned += 1
    if num_too_long:
        reporter.say(f"{source.name}: {num_too_long:,} conversations are longer than {longest:,} tokens and left out.")
    data.facts[source.name] = {
        "conversations": num_learned,
        "held_out": num_held_out,
        "too_long": num_too_long,
        "repeats": source.repeats,
        "licence": source.licence,
        "repository": source.repository,
        "commit": source.commit,
    }


def _num_copies(repeats: float, share: float) -> int:
    return int(repeats) + (share < repeats % 1)
