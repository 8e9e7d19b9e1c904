"""What the record of a run says of it: its result, its work, the machine, the programs, energy and cost."""

import dataclasses
import hashlib
import platform
from pathlib import Path

import torch

import bise
from bise.hardware import ASSUMED_WATTS_PER_CORE, memory_bytes, processor_name, usable_cores
from bise.train.checkpoint import Progress
from bise.train.loop import Job, Outcome


def run_facts(job: Job, outcome: Outcome) -> dict[str, object]:
    """What a card quotes of a run."""
    return {
        "parameters": job.model.spec.num_parameters(),
        "spec": dataclasses.asdict(job.model.spec),
        "steps": outcome.progress.step,
        "tokens": outcome.progress.num_targets,
        "loss": outcome.loss,
        "loss_unit": "nats per token",
        "held_out_before": outcome.before,
        "held_out": outcome.after,
        "training_seconds": round(outcome.progress.seconds, 1),
        **work_done(job, outcome.progress),
        "precision": outcome.choices.precision,
        "compiled": outcome.choices.is_compiled,
        "threads": torch.get_num_threads(),
        "device": job.device,
        "hardware": _hardware(job.device),
        "software": _software(),
    }


def work_done(job: Job, progress: Progress) -> dict[str, object]:
    """Operations, how well the machine was used, and what that took; a price that the recipe does not state is left out."""
    operations = progress.num_places * job.flops_per_token
    facts: dict[str, object] = {
        "flops": operations,
        "flops_formula": "tokens * (6 * matrix weights, 4 if frozen, + 6 * layers * window * heads * head_dim)",
        "peak_flops_per_s": job.peak_flops,
        "mfu": round(operations / max(progress.seconds, 1e-9) / job.peak_flops, 4),
    }
    facts |= _energy(job, progress.seconds)
    if price := job.cost.price(progress.seconds):
        facts["cost"] = f"{price:.2f} {job.cost.currency}"
    return facts


def _energy(job: Job, seconds: float) -> dict[str, object]:
    """By the watts that the recipe states; else an estimate for processors, and nothing for graphics cards."""
    if job.cost.watts:
        method = f"{job.cost.watts:g} W, stated in the recipe, times the seconds of the steps"
        return {"energy_kwh": round(job.cost.kwh(seconds), 6), "energy_method": method}
    if job.device != "cpu":
        return {}
    threads = torch.get_num_threads()
    watts = ASSUMED_WATTS_PER_CORE * threads
    method = (
        f"an estimate: {ASSUMED_WATTS_PER_CORE:g} W a thread, {threads} of them, times the seconds of the steps; "
        "state what a meter shows in cost.watts"
    )
    return {"energy_kwh": round(watts * seconds / 3.6e6, 6), "energy_method": method}


def _hardware(device: str) -> dict[str, object]:
    found: dict[str, object] = {
        "processor": processor_name(),
        "cores": usable_cores(),
        "memory_gib": round(memory_bytes() / 2**30, 1),
    }
    if device == "cuda":
        card = torch.cuda.get_device_properties(0)
        found |= {"graphics_card": card.name, "graphics_memory_gib": round(card.total_memory / 2**30, 1)}
    return found


def _software() -> dict[str, str]:
    """Versions, and a hash over the source code of training, which a version alone does not tell in a checkout."""
    root = Path(bise.__file__).parent
    digest = hashlib.sha256()
    for room in ("model", "tokenizer", "train", "tune"):
        for file in sorted((root / room).rglob("*.py")):
            digest.update(file.relative_to(root).as_posix().encode() + b"\0" + file.read_bytes())
    return {
        "bise": bise.__version__,
        "source_sha256": digest.hexdigest(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
