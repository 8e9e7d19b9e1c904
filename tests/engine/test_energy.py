"""Energy is counted where the processor counts it, and otherwise follows from watts, in words that say which."""

import time
from pathlib import Path

import pytest

from bise.engine.energy import Meter, Price, price_of
from bise.errors import InputError
from bise.hardware import usable_cores


def counter(directory: Path, name: str, microjoules: int) -> Path:
    zone = directory / name
    zone.mkdir(parents=True, exist_ok=True)
    (zone / "name").write_text("package-0\n" if ":0" in name else "dram\n")
    (zone / "energy_uj").write_text(f"{microjoules}\n")
    return zone


def test_counters_are_read_before_and_after(tmp_path: Path) -> None:
    counter(tmp_path, "intel-rapl:1:1", 5)
    price = Price(1000, False, 0.5, counters=tmp_path)
    counter(tmp_path, "intel-rapl:0", 1_000_000)
    with price.meter() as meter:
        counter(tmp_path, "intel-rapl:0", 7_000_000)
    assert meter.joules == 6
    assert price.of(meter, tokens=1000) == {"kwh": round(6 / 3.6e6 * 1000, 4), "cost": round(6 / 3.6e6 * 500, 4)}
    assert "RAPL" in price.method


def test_a_counter_that_began_again_is_not_believed(tmp_path: Path) -> None:
    counter(tmp_path, "intel-rapl:0", 7_000_000)
    with Price(10, True, 0.5, counters=tmp_path).meter() as meter:
        counter(tmp_path, "intel-rapl:0", 1)
    assert meter.joules is None


def test_without_a_counter_energy_is_watts_times_seconds(tmp_path: Path) -> None:
    price = Price(36, False, 2, counters=tmp_path / "none")
    with price.meter() as meter:
        time.sleep(0.01)
    assert 0.01 <= meter.seconds < 5
    assert price.of(Meter(seconds=100), tokens=1_000_000) == {"kwh": 0.001, "cost": 0.002}
    assert "36 W, stated" in price.method


def test_assumed_watts_say_so() -> None:
    price = price_of(None, 0.3)
    assert price.is_assumed
    assert price.watts == 10 * usable_cores()


@pytest.mark.parametrize(("watts", "per_kwh"), [(0, 1), (-5, 1), (5, -1)])
def test_impossible_numbers_are_refused(watts: float, per_kwh: float) -> None:
    with pytest.raises(InputError, match="positive"):
        price_of(watts, per_kwh)
