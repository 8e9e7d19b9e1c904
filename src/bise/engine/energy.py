"""What tokens cost in electricity: from the processor's own counter where it can be read, else from stated watts."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bise.errors import InputError
from bise.hardware import ASSUMED_WATTS_PER_CORE, usable_cores

_COUNTERS = Path("/sys/class/powercap")  # Linux; often readable by root only


@dataclass
class Meter:
    """What a stretch of work took."""

    seconds: float = 0.0
    joules: float | None = None  # of the processor alone; None where nothing counts them


@dataclass(frozen=True)
class Price:
    """How energy becomes a cost."""

    watts: float  # of the machine, for where nothing counts them
    is_assumed: bool
    per_kwh: float  # in any currency
    counters: Path = _COUNTERS

    @property
    def method(self) -> str:
        """How the energy was found, in words."""
        if self._joules() is not None:
            return "the processor's own counter (RAPL), without memory, disk and losses of the power supply"
        stated = "assumed" if self.is_assumed else "stated"
        return f"{self.watts:g} W, {stated}, times the seconds; --watts takes what a meter at the socket shows"

    @contextmanager
    def meter(self) -> Iterator[Meter]:
        """Count time and energy while the block runs."""
        meter = Meter()
        began, joules = time.perf_counter(), self._joules()
        yield meter
        meter.seconds = time.perf_counter() - began
        end = self._joules()
        if joules is not None and end is not None and end >= joules:  # the counter starts again from zero at times
            meter.joules = end - joules

    def of(self, meter: Meter, tokens: int) -> dict[str, float]:
        """Energy and cost of a million tokens like those that were made while the meter ran."""
        joules = meter.joules if meter.joules is not None else self.watts * meter.seconds
        kwh = joules / 3.6e6 / tokens * 1e6
        return {"kwh": round(kwh, 4), "cost": round(kwh * self.per_kwh, 4)}

    def _joules(self) -> float | None:
        """What the counters of all processor packages stand at."""
        try:
            zones = [zone for zone in self.counters.iterdir() if (zone / "name").read_text().startswith("package")]
            return sum(int((zone / "energy_uj").read_text()) for zone in zones) / 1e6 if zones else None
        except (OSError, ValueError):
            return None


def price_of(watts: float | None, per_kwh: float) -> Price:
    """The price of work here; without stated watts, a modest number for each core.

    Raises:
        InputError: a number is negative.
    """
    if per_kwh < 0 or (watts is not None and watts <= 0):
        raise InputError(f"{watts} W at {per_kwh} a kWh cannot be. Give positive numbers.")
    return Price(watts or ASSUMED_WATTS_PER_CORE * usable_cores(), watts is None, per_kwh)
