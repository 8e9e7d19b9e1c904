"""Packing loses nothing, fits everything, and pads little."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bise.train.packing import IGNORED, Sample, assemble, pack


@given(st.lists(st.integers(1, 16), max_size=60))
def test_every_item_is_in_exactly_one_row_that_holds_it(places: list[int]) -> None:
    rows = pack(np.array(places, np.int64), 16)
    assert sorted(item for row in rows for item in row) == list(range(len(places)))
    assert all(sum(places[item] for item in row) <= 16 for row in rows)


def test_best_fit_fills_rows_that_first_come_first_served_would_not() -> None:
    rows = pack(np.array([3, 5, 7, 5, 9, 11, 13], np.int64), 16)
    assert len(rows) == 4  # 53 places cannot do with fewer


@given(st.lists(st.lists(st.integers(0, 90), min_size=2, max_size=9), min_size=1, max_size=8))
def test_targets_are_the_next_ids_of_the_same_document(sequences: list[list[int]]) -> None:
    rows = pack(np.array([len(ids) - 1 for ids in sequences], np.int64), 8)
    batch = assemble([[Sample(np.array(sequences[item])) for item in row] for row in rows], 8)
    found = []
    for row, items in enumerate(rows):
        for number in range(len(items)):
            place = batch.documents_BT[row] == number
            ids, targets = batch.inputs_BT[row][place].tolist(), batch.targets_BT[row][place].tolist()
            assert ids[1:] == targets[:-1]
            found.append([*ids, targets[-1]])
    assert sorted(found) == sorted(sequences)
    assert batch.num_targets == sum(len(ids) - 1 for ids in sequences)


def test_only_learned_ids_are_targets() -> None:
    batch = assemble([[Sample(np.array([1, 2, 3, 4]), np.array([True, False, True, False]))]], 4)
    assert batch.targets_BT.tolist() == [[IGNORED, 3, IGNORED, IGNORED]]
