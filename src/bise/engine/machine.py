"""What this machine offers the engine: processor, instruction sets, cores and memory."""

from dataclasses import dataclass

from bise.hardware import memory_bytes, processor_name, usable_cores

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
    return Machine(processor_name(), _instruction_sets(), usable_cores(), memory_bytes())


def _instruction_sets() -> tuple[str, ...]:
    try:
        from llvmlite import binding
    except ImportError:  # `bise doctor` then reports that numba is missing
        return ()
    features = binding.get_host_cpu_features()
    return tuple(name for name in INSTRUCTION_SETS if features.get(name))
