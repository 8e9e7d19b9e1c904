"""What this machine offers the engine: processor, instruction sets, cores and memory."""

import os
import platform
from dataclasses import dataclass
from pathlib import Path

# The instruction sets that make a difference to a language model, by LLVM's names, best first.
INSTRUCTION_SETS = ("avx512vnni", "avx512bf16", "avx512f", "avxvnni", "avx2", "fma", "dotprod", "neon")


@dataclass(frozen=True)
class Machine:
    """This computer as the engine sees it."""

    processor: str
    instruction_sets: tuple[str, ...]  # those of INSTRUCTION_SETS that it has; empty when LLVM cannot be asked
    cores: int  # logical cores that this process may use
    memory_bytes: int


def describe_machine() -> Machine:
    """Ask the operating system and LLVM."""
    return Machine(_processor_name(), _instruction_sets(), usable_cores(), memory_bytes())


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


def _processor_name() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def _instruction_sets() -> tuple[str, ...]:
    try:
        from llvmlite import binding
    except ImportError:  # `bise doctor` then reports that numba is missing
        return ()
    features = binding.get_host_cpu_features()
    return tuple(name for name in INSTRUCTION_SETS if features.get(name))
