"""The measured limits do what they claim to measure."""

import numpy as np
import pytest

from bise.engine.kernels.instructions import InstructionSet, available
from bise.engine.kernels.limits import load_multiply_in_registers, load_read_memory, operations
from bise.engine.peaks import integer_peak, read_bandwidth


def test_reading_touches_every_byte() -> None:
    data = np.random.default_rng(0).integers(0, 256, 64 << 10, dtype=np.uint8)
    read = load_read_memory()
    assert read(data, 0, len(data)) == data.view(np.int32).sum(dtype=np.int32)
    assert read(data, 512, 2048) == data[512:2048].view(np.int32).sum(dtype=np.int32)


@pytest.mark.parametrize("name", available())
def test_multiplying_depends_on_every_round(name: str) -> None:
    multiply = load_multiply_in_registers(name)
    assert len({multiply(InstructionSet(name), rounds) for rounds in range(50)}) > 25


@pytest.mark.skipif(not available(), reason="the processor has no instruction set of the integer kernels")
def test_both_peaks_are_speeds_of_a_processor() -> None:
    name = available()[0]
    assert operations(name) in (12 * 16 * 8, 12 * 8 * 8)
    for speeds in (read_bandwidth(2, 3, 64 << 20), integer_peak(InstructionSet(name), 2, 3)):
        assert len(speeds) == 3
        assert all(1e8 < speed < 1e14 for speed in speeds)
