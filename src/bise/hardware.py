"""What this machine has, for plans and for the record: processor, cores and memory."""

import os
import platform
from pathlib import Path

ASSUMED_WATTS_PER_CORE = 10.0  # of a busy server processor, with its share of the machine; for estimates that say so


def usable_cores() -> int:
    """Logical cores that this process may run on; a container or `taskset` may allow fewer than there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory_bytes() -> int:
    """Memory that this process may use: the machine's, or less where a container sets a limit."""
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = Path("/sys/fs/cgroup/memory.max")
    text = limit.read_text(encoding="utf-8").strip() if limit.is_file() else "max"
    return physical if text == "max" else min(physical, int(text))


def processor_name() -> str:
    """The processor's own name, where the system tells it."""
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()
