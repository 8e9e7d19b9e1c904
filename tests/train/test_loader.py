"""The loader reads every token once an epoch, in an order that depends on the seed and the step alone."""

from pathlib import Path

import numpy as np
import pytest
import torch

from bise.errors import InputError
from bise.tokenizer.shards import Shards
from bise.train.loader import cut, shard_rows
from bise.train.packing import IGNORED

BOS, EOS = 1, 2


def shards(lengths: list[int], directory: Path) -> Shards:
    """Documents of BOS, running numbers from 10, EOS."""
    documents, number = [], 10
    for length in lengths:
        documents.append([BOS, *range(number, number + length), EOS])
        number += length
    stream = np.array([token for document in documents for token in document], np.uint16)
    stream.tofile(directory / "tokens.bin")
    ends = np.cumsum([len(document) for document in documents])
    return Shards(np.memmap(directory / "tokens.bin", np.uint16, "r"), ends, 0, "")


@pytest.mark.parametrize("lengths", [[5], [7, 0, 8, 9], [15, 16, 17, 40], [1] * 30, [100, 3, 6, 7]])
def test_an_epoch_learns_every_token_once(lengths: list[int], tmp_path: Path) -> None:
    loader = shard_rows(shards(lengths, tmp_path), BOS, row_length=8, seed=3)
    batch = loader.batch(0, loader.num_rows)
    targets = batch.targets_BT[batch.targets_BT != IGNORED].tolist()
    assert sorted(t for t in targets if t != EOS) == list(range(10, 10 + sum(lengths)))
    assert targets.count(EOS) == len(lengths)
    assert BOS not in targets
    for row in range(loader.num_rows):
        documents = batch.documents_BT[row]
        for number in range(int(documents.max()) + 1):
            assert batch.inputs_BT[row][documents == number][0] == BOS


def test_a_step_does_not_depend_on_those_before(tmp_path: Path) -> None:
    text = shards([50, 20, 9, 70, 3], tmp_path)
    walked = shard_rows(text, BOS, 8, seed=5)
    for step in range(9):
        batch = walked.batch(step, 4)
        fresh = shard_rows(text, BOS, 8, seed=5).batch(step, 4)
        assert torch.equal(batch.inputs_BT, fresh.inputs_BT)
        assert torch.equal(batch.targets_BT, fresh.targets_BT)


def test_seeds_and_epochs_differ(tmp_path: Path) -> None:
    text = shards([300], tmp_path)
    loader = shard_rows(text, BOS, 8, seed=5)
    first, second = loader.batch(0, loader.num_rows), loader.batch(1, loader.num_rows)
    other = shard_rows(text, BOS, 8, seed=6).batch(0, loader.num_rows)
    assert not torch.equal(first.inputs_BT, second.inputs_BT)
    assert not torch.equal(first.inputs_BT, other.inputs_BT)


def test_pieces_fit() -> None:
    pieces = cut(np.array([2, 11, 21, 60], np.int64), 8)
    assert pieces.places().min() >= 1
    assert pieces.places().max() == 8


def test_no_documents(tmp_path: Path) -> None:
    tokens = np.zeros(1, np.uint16)
    tokens.tofile(tmp_path / "tokens.bin")
    empty = Shards(np.memmap(tmp_path / "tokens.bin", np.uint16, "r"), np.zeros(0, np.int64), 0, "")
    with pytest.raises(InputError, match="no document left"):
        shard_rows(empty, BOS, 8, 0)
