"""A program that behaves towards its run directory as `bise tune --from-feedback` does, in a second and without torch.

python tests/imitated_tune.py HOME MODEL NAME OWNER

It takes `HOME/imitation.json`, if there is one: {"steps": 20, "pause_s": 0.01, "error": null}.
"""

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bise.app.learning import LearnCommand
from bise.store.accounts import User

COMPARISON = {
    "lessons": {"better answer": 6},
    "learned": 6,
    "held_out": 2,
    "left_out": {},
    "personal_data_masked": {"email": 1},
    "seconds": 1.0,
    "before": {"en": {"loss": 3.2}, "fr": {"loss": 2.8}, "pairs en": {"loss": 0.7}, "text en": {"bits_per_byte": 2.0}},
    "after": {"en": {"loss": 1.2}, "fr": {"loss": 0.8}, "pairs en": {"loss": 0.1}, "text en": {"bits_per_byte": 2.02}},
    "like_wanted": {"before": 0.1, "after": 0.9},
    "others_like_before": 0.75,
    "num_others": 40,
    "warnings": ["General text (en) got worse: 2.000 bits per byte before, 2.020 after."],
    "answers": [
        {"question": f"Question {n}?", "wanted": f"Wanted {n}.", "before": f"Before {n}.", "after": f"After {n}."}
        for n in range(1, 5)
    ],
}


def imitated_command(home: Path) -> LearnCommand:
    """The command to give to `Learning`."""

    def command(user: User, model: str, name: str, keep_contacts: bool) -> Sequence[str]:
        (home / "kept.json").write_text(json.dumps(keep_contacts), encoding="utf-8")
        return (sys.executable, __file__, str(home), model, name, user.id)

    return command


def imitate(home: Path, **behaviour: Any) -> None:
    """Say how the program is to behave when it is started next."""
    (home / "imitation.json").write_text(json.dumps(behaviour), encoding="utf-8")


def main(home: Path, model: str, name: str, owner: str) -> None:
    """Learn nothing, and say so as the real program would."""
    file = home / "imitation.json"
    behaviour = {"steps": 20, "pause_s": 0.01, "error": None}
    if file.exists():
        behaviour |= json.loads(file.read_text(encoding="utf-8"))
    if behaviour["error"]:
        print(f"bise: {behaviour['error']}", file=sys.stderr)
        sys.exit(2)
    run = home / "runs/tune" / name
    run.mkdir(parents=True, exist_ok=True)
    (run / "owner.json").write_text(json.dumps({"user": owner, "model": model}), encoding="utf-8")
    with (run / "metrics.jsonl").open("a", encoding="utf-8") as metrics:
        for step in range(1, behaviour["steps"] + 1):
            time.sleep(behaviour["pause_s"])
            line = {"step": step, "num_steps": behaviour["steps"], "loss": 1 / step, "seconds": step * 2.0}
            metrics.write(json.dumps(line) + "\n")
            metrics.flush()
    adapter = home / "adapters" / model / name
    adapter.mkdir(parents=True)
    (adapter / "manifest.json").write_text("{}", encoding="utf-8")
    comparison = COMPARISON | {"model": model, "adapter": f"{model}:{name}"}
    (run / "comparison.json").write_text(json.dumps(comparison), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4])
