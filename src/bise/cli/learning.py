"""What `bise tune --from-feedback` shows and asks."""

import asyncio
import json
import sys
from collections.abc import Mapping
from typing import Any

import click

from bise.cli.training import watching
from bise.errors import InputError
from bise.store.accounts import find_user, local_owner
from bise.store.database import open_database
from bise.store.feedback import FeedbackItem, list_feedback
from bise.tune.from_feedback import Proposal, learn, propose
from bise.tune.lessons import collect
from bise.weights.store import DEFAULT_MODEL

_SHOWN = 5


def learn_from_feedback(
    user: str | None, model: str | None, name: str | None, yes: bool, keep_contacts: bool, as_json: bool
) -> None:
    """Show what would be learned, ask, learn it, and tell what changed.

    Raises:
        NotFoundError: there is no such user, or model.
        InputError: there is too little to learn from, or nobody is there to approve.
    """
    model = model or DEFAULT_MODEL
    owner, feedback = asyncio.run(_feedback(user))
    proposal = propose(collect(feedback, model, keep_contacts), owner, model, name)
    click.echo(_proposed(proposal), err=True)
    if not yes:
        if not sys.stdin.isatty():
            raise InputError("Nobody is at the terminal to approve this. Look at it, then add --yes.")
        click.confirm("Learn this?", default=True, abort=True, err=True)
    with watching() as reporter:
        comparison = learn(proposal, reporter)
    click.echo(json.dumps(comparison, indent=2, ensure_ascii=False) if as_json else _changed(comparison))


async def _feedback(user: str | None) -> tuple[str, tuple[FeedbackItem, ...]]:
    """A user's id, and what they said about answers."""
    database = await open_database()
    try:
        owner = await (find_user(database, user) if user else local_owner(database))
        return owner.id, await list_feedback(database, owner.id)
    finally:
        await database.close()


def _proposed(proposal: Proposal) -> str:
    facts = proposal.facts()
    lines = [
        f"From the feedback about {proposal.model}: "
        + ", ".join(f"{count} x {origin}" for origin, count in facts["lessons"].items()),
        *(f"Left out: {count} ({reason})" for reason, count in facts["left_out"].items()),
    ]
    if masked := facts["personal_data_masked"]:
        lines.append("Personal data masked: " + ", ".join(f"{count} x {kind}" for kind, count in masked.items()))
    if contacts := proposal.lessons.contacts:
        some = ", ".join(_short(contact) for contact in list(contacts)[:_SHOWN]) + (
            ", …" if len(contacts) > _SHOWN else ""
        )
        lines.append(
            f"Learned as they are, since you say that they are public: {some}"
            if proposal.lessons.keeps_contacts
            else f"Among it are {some}. If these are public, and the model is to know them, add --keep-contacts."
        )
    for lesson in sorted(proposal.learned, key=lambda lesson: lesson.rejected is None)[:_SHOWN]:
        lines.append(f"  {_short(lesson.question)} -> {_short(lesson.chosen)}")
        lines += [f"    instead of: {_short(lesson.rejected)}"] if lesson.rejected else []
    if (more := len(proposal.learned) - _SHOWN) > 0:
        lines.append(f"  … and {more} more")
    lines.append(
        f"{len(proposal.learned)} are learned, {len(proposal.held_out)} held out to see whether it helps. "
        f"The adapter will be offered as {facts['adapter']}."
    )
    return "\n".join(lines)


def _changed(comparison: Mapping[str, Any]) -> str:
    lines = []
    for row in comparison["answers"]:
        lines += [_short(row["question"]), *(f"  {key:<7}{_short(row[key])}" for key in ("wanted", "before", "after"))]
    for name, after in comparison["after"].items():
        told = (
            f"{key.replace('_', ' ')} {comparison['before'][name][key]:.3f} -> {value:.3f}"
            for key, value in after.items()
        )
        lines.append(f"held out {name:<10} {', '.join(told)}")
    lines += [f"Warning: {sentence}" for sentence in comparison["warnings"]]
    adapter = comparison["adapter"]
    lines.append(f'Offered as {adapter}: bise ask -m {adapter} "…". To go back: bise models remove {adapter}')
    return "\n".join(lines)


def _short(text: str) -> str:
    line = " ".join(filter(str.isprintable, text.split()))
    return line if len(line) <= 90 else line[:89] + "…"
