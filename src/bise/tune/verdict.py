"""Whether a tune made something worse, in words with both numbers."""

from collections.abc import Mapping

from bise.train.loop import HeldOutLosses

_NOTICED = 0.01  # relative; less is chance


def what_got_worse(before: HeldOutLosses, after: HeldOutLosses) -> list[str]:
    """A sentence for each kind of held-out text that the tuned model is worse at than its base."""
    told = (_told(name, before[name], after[name]) for name in after)
    return [sentence for sentence in told if sentence]


def _told(name: str, before: Mapping[str, float], after: Mapping[str, float]) -> str:
    if name.startswith("text "):
        lang, key, unit = name.removeprefix("text "), "bits_per_byte", "bits per byte"
        subject, advice = (
            f"General text ({lang})",
            "The tune forgets: fewer epochs, lower learning rates or an adapter help.",
        )
    elif name.startswith("pairs "):
        lang, key, unit = name.removeprefix("pairs "), "loss", "nats per pair"
        subject, advice = f"Held-out preferences ({lang})", "Check the pairs, or learn for fewer epochs."
    else:
        key, unit = "loss", "nats per token"
        subject, advice = f"Held-out conversations ({name})", "Learn for fewer epochs, or give more conversations."
    if after[key] <= before[key] * (1 + _NOTICED):
        return ""
    return f"{subject} got worse: {before[key]:.3f} {unit} before, {after[key]:.3f} after. {advice}"
