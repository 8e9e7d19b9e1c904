"""Whether a tune made something worse, in words with both numbers."""

from collections.abc import Mapping

from bise.train.loop import HeldOutLosses
from bise.train.verdict import got_worse


def what_got_worse(before: HeldOutLosses, after: HeldOutLosses, *, has_adapter: bool) -> list[str]:
    """A sentence for each kind of held-out text that the tuned model is worse at than its base."""
    told = (_told(name, before[name], after[name], has_adapter) for name in after)
    return [sentence for sentence in told if sentence]


def _told(name: str, before: Mapping[str, float], after: Mapping[str, float], has_adapter: bool) -> str:
    if name.startswith("text "):
        lang, key, unit = name.removeprefix("text "), "bits_per_byte", "bits per byte"
        last = "a strength below 1" if has_adapter else "an adapter"
        subject = f"General text ({lang})"
        advice = f"The tune forgets: fewer epochs, lower learning rates or {last} help."
    elif name.startswith("pairs "):
        lang, key, unit = name.removeprefix("pairs "), "loss", "nats per pair"
        subject, advice = f"Held-out preferences ({lang})", "Check the pairs, or learn for fewer epochs."
    else:
        key, unit = "loss", "nats per token"
        subject, advice = f"Held-out conversations ({name})", "Learn for fewer epochs, or give more conversations."
    return got_worse(subject, before[key], after[key], unit, advice)
