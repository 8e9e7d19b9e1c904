"""What the admins' page asks: people, invitations, limits, usage, the audit log and models. Never a conversation.

Each change, and each look at what is about others, is checked again in the data's layer: `ActingAdmin` says by whose role
it is done.
"""

import asyncio
from dataclasses import asdict
from datetime import timedelta
from typing import Annotated, Any, Literal, cast

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field, StringConstraints

from bise.app.door import Name
from bise.app.pulling import Bits, Pulling, Wanted
from bise.app.replies import people
from bise.app.requests import database_of, json_response, read_body
from bise.app.session import Admin, entrance_of
from bise.server.answering import backend_of
from bise.store.accounts import Role, create_link
from bise.store.administration import change_person, list_people, user_by_id
from bise.store.audit import ActingAdmin, list_audit, name_of, note
from bise.store.branches import BusyError
from bise.store.limits import Limited, list_limits, set_limits
from bise.store.signing_up import create_invitation, list_invitations, withdraw_invitation
from bise.store.tables import now
from bise.store.usage import report
from bise.weights.store import check_removable, list_models, remove_model

router = APIRouter(prefix="/api/admin")
MAX_ENTRIES = 200
USAGE_DAYS = 31
Positive = Annotated[int, Field(gt=0, le=2**62)]


class PersonChange(BaseModel):
    """Another role, or shut out or let in again."""

    role: Role | None = None
    disabled: bool | None = None


class NewInvitation(BaseModel):
    """For whom, for how long and for how many."""

    role: Role = "user"
    days: int = 7
    uses: int = 1


class NewLimits(BaseModel):
    """All limits of somebody; those that are null are taken away."""

    subject: Annotated[str, StringConstraints(max_length=200)]  # user:NAME or everybody
    requests_per_s: Annotated[float, Field(gt=0, le=1e6)] | None
    tokens_per_min: Positive | None
    tokens_per_month: Positive | None
    tokens_total: Positive | None
    parallel: Annotated[int, Field(gt=0, le=1_000_000)] | None


class NewModel(BaseModel):
    """A model to take into the store."""

    source: Annotated[str, StringConstraints(max_length=300)]
    name: Name
    bits: Bits | None = None


@router.get("/people", response_model=people.People)
async def show_people(request: Request, user: Admin) -> Response:
    """List everybody with what is counted about them, and the invitations that are open."""
    database, actor = database_of(request), ActingAdmin(user.id)
    people = await list_people(database, actor)
    invitations = await list_invitations(database, actor)
    shown = [
        {
            "id": person.user.id,
            "name": person.user.name,
            "role": person.user.role,
            "disabled": person.user.disabled_at is not None,
            "seen_at": person.seen_at.isoformat() if person.seen_at else None,
            "num_tokens": person.num_tokens,
            "num_requests": person.num_requests,
        }
        for person in people
    ]
    return json_response(
        {
            "people": shown,
            "sign_up": entrance_of(request).sign_up,
            "invitations": [
                {
                    "id": each.id,
                    "role": each.role,
                    "expires_at": each.expires_at.isoformat(),
                    "uses_left": each.uses_left,
                }
                for each in invitations
            ],
        }
    )


@router.patch("/people/{person}")
async def change_somebody(request: Request, user: Admin, person: str) -> Response:
    """Change somebody's role, or shut them out or let them in again."""
    body = await read_body(request, PersonChange)
    await change_person(database_of(request), ActingAdmin(user.id), person, body.role, body.disabled)
    return Response(status_code=204)


@router.post("/people/{person}/link", response_model=people.Secret)
async def make_link(request: Request, user: Admin, person: str) -> Response:
    """Make an address that lets one browser of somebody in, once, within a day."""
    database = database_of(request)
    async with database.read() as connection:
        await name_of(connection, ActingAdmin(user.id))
        found = await user_by_id(connection, person)
    return json_response({"token": await create_link(database, found.name, ActingAdmin(user.id))}, 201)


@router.post("/invitations", response_model=people.Secret)
async def invite(request: Request, user: Admin) -> Response:
    """Make an invitation; its secret is shown now and never again."""
    body = await read_body(request, NewInvitation)
    actor = ActingAdmin(user.id)
    _, token = await create_invitation(database_of(request), actor, body.role, body.days, body.uses)
    return json_response({"token": token}, 201)


@router.delete("/invitations/{invitation}")
async def withdraw(request: Request, user: Admin, invitation: str) -> Response:
    """Let nobody in by an invitation any more."""
    await withdraw_invitation(database_of(request), ActingAdmin(user.id), invitation)
    return Response(status_code=204)


@router.get("/limits", response_model=people.AllLimits)
async def show_limits(request: Request, user: Admin) -> Response:
    """List the limits that were set."""
    return json_response(
        {"limits": [_show_limits(each) for each in await list_limits(database_of(request), ActingAdmin(user.id))]}
    )


@router.put("/limits", response_model=people.Limits)
async def change_limits(request: Request, user: Admin) -> Response:
    """Set all limits of somebody, or of everybody without own ones."""
    body = await read_body(request, NewLimits)
    changes: dict[str, Any] = body.model_dump(exclude={"subject"})
    changed = await set_limits(database_of(request), body.subject, changes, ActingAdmin(user.id))
    return json_response(_show_limits(changed))


@router.get("/usage", response_model=people.Usage)
async def show_usage(request: Request, user: Admin, by: Literal["day", "user", "model"] = "day") -> Response:
    """Sum up what was used in the last 31 days."""
    since = now().date() - timedelta(days=USAGE_DAYS - 1)
    return json_response({"rows": await report(database_of(request), (by,), since, actor=ActingAdmin(user.id))})


@router.get("/audit", response_model=people.Audit)
async def show_audit(request: Request, user: Admin, words: str = "") -> Response:
    """List the latest entries of the audit log that have some words, the latest first."""
    words = words[:100].replace("\0", "")
    entries = await list_audit(database_of(request), MAX_ENTRIES, words, ActingAdmin(user.id))
    shown = [{**vars(entry), "at": entry.at.isoformat(), "details": dict(entry.details)} for entry in entries]
    return json_response({"entries": shown[::-1]})


@router.get("/models", response_model=people.Models)
async def show_models(request: Request, user: Admin) -> Response:
    """List the models of the store, and how the latest pull stands."""
    del user
    served = {model.id for model in backend_of(request).models()}
    models = [
        model.facts() | {"name": model.name, "shipped": model.shipped, "served": model.name in served}
        for model in await asyncio.to_thread(list_models)
    ]
    return json_response({"models": models, "pull": _pulling(request).show()})


@router.post("/models")
async def take_in(request: Request, user: Admin) -> Response:
    """Begin to take a model into the store."""
    body = await read_body(request, NewModel)
    wanted = Wanted(body.source, body.name, body.bits)
    await note(database_of(request), ActingAdmin(user.id), "model.pull", f"model {body.name}", source=body.source)
    await _pulling(request).start(wanted)
    return Response(status_code=204)


@router.post("/models/cancel")
async def cancel_pull(request: Request, user: Admin) -> Response:
    """End a running pull."""
    del user
    await _pulling(request).cancel()
    return Response(status_code=204)


@router.delete("/models/{model}")
async def remove(request: Request, user: Admin, model: str) -> Response:
    """Delete a model from the store, unless it answers here."""
    if model in {served.id for served in backend_of(request).models()}:
        message = f"{model} answers on this server now, so it cannot be removed. Serve another one first."
        raise BusyError(message, code="model_in_use", model=model)
    await asyncio.to_thread(check_removable, model)
    await note(database_of(request), ActingAdmin(user.id), "model.remove", f"model {model}")
    await asyncio.to_thread(remove_model, model)
    return Response(status_code=204)


def _show_limits(limited: Limited) -> dict[str, object]:
    subject = limited.subject
    name = subject.kind if subject.kind == "everybody" else f"{subject.kind}:{subject.name}"
    return {"subject": name, **asdict(limited.limits)}


def _pulling(request: Request) -> Pulling:
    return cast(Pulling, request.app.state.pulling)
