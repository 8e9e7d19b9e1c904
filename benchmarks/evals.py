"""How fast what explains a model is: `python -m benchmarks.evals DATA [--only PART] [--json]`.

DATA is a directory of texts: JSON lines with a field "text" in files named *.jsonl or *.jsonl.xz, however deep.
"""

import argparse
import json
import os
from collections.abc import Callable
from pathlib import Path

from benchmarks.corpus_index import measure_index
from benchmarks.evaluation_exactness import measure_bits_per_byte
from benchmarks.evaluation_speed import measure_speed
from bise.hardware import processor_name, usable_cores

# name -> what measures it, given the directory of texts
PARTS: dict[str, Callable[[Path], dict[str, object]]] = {
    "index": measure_index,
    "bits-per-byte": measure_bits_per_byte,
    "lm-eval": measure_speed,
}


def main() -> None:
    """Measure the parts and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--only", choices=PARTS, action="append", help="measure this part; may be given again")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures: dict[str, object] = {
        "processor": processor_name(),
        "cores": usable_cores(),
        "load_before": round(os.getloadavg()[0], 2),
    }
    for name in options.only or PARTS:
        figures |= PARTS[name](options.data)
    figures["load_after"] = round(os.getloadavg()[0], 2)
    if options.json:
        print(json.dumps(figures, indent=2))
        return
    for key, value in figures.items():
        print(f"{key:32} {value}")


if __name__ == "__main__":
    main()
