"""What the page asks about everything that is kept, and to erase it."""

import asyncio
from dataclasses import asdict
from pathlib import Path
from typing import Literal, cast

import sqlalchemy as sa
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from bise.app.importing import Imports
from bise.app.learning import Learning
from bise.app.replies import data
from bise.app.requests import database_of, generations_of, json_response, read_body
from bise.app.session import SignedIn
from bise.config import home
from bise.store.accounts import User
from bise.store.conversations import list_conversations
from bise.store.database import Database
from bise.store.deleted import KEPT_DAYS
from bise.store.erasure import count_holdings, erase_everything

router = APIRouter()


class Erasure(BaseModel):
    """Erasing all is asked for by name: nothing does it by accident."""

    confirm: Literal["erase everything"]


@router.get("/api/stored", response_model=data.Stored)
async def show_stored(request: Request, user: SignedIn) -> Response:
    """Tell what is kept of the user's, how much, where and how long; where it is, is for admins."""
    database = database_of(request)
    holdings = await count_holdings(database, user.id)
    copies = await asyncio.to_thread(_copies, database)
    learned = await asyncio.to_thread(_learning(request).learned, user.id)
    place = _place(database.url) if user.role == "admin" else None
    told = {
        "holdings": asdict(holdings),
        "kept_days": KEPT_DAYS,
        "database": database.url.get_backend_name(),
        "place": place,
        "num_copies": len(copies),
        "num_learning_runs": learned.num_runs,
        "adapters": learned.adapters,
    }
    return json_response(told)


def _place(url: sa.URL) -> str:
    """A file's path, or an address without its password."""
    return str(url.database) if url.get_backend_name() == "sqlite" else url.render_as_string()


@router.post("/api/erase", response_model=data.Erased)
async def erase(request: Request, user: SignedIn) -> Response:
    """Erase all that the user said, for good, and give a receipt; what is not reached from here is counted."""
    await read_body(request, Erasure)
    database = database_of(request)
    await cast(Imports, request.app.state.imports).forget(user.id)
    await _end_answers(request, user)
    learned = await asyncio.to_thread(_learning(request).forget, user.id)
    receipt = await erase_everything(database, user, learned.num_runs, learned.adapters)
    copies = await asyncio.to_thread(_copies, database)
    return json_response({"receipt": receipt.as_record(), "sha256": receipt.sha256, "num_copies": len(copies)})


def _learning(request: Request) -> Learning:
    return cast(Learning, request.app.state.learning)


async def _end_answers(request: Request, user: User) -> None:
    for conversation in await list_conversations(database_of(request), user.id):
        await generations_of(request).forget(conversation.id)


def _copies(database: Database) -> list[Path]:
    """Copies of the database that Bise made before upgrades, as far as they are where it puts them."""
    directory = home()
    if database.url.get_backend_name() == "sqlite":
        directory = Path(str(database.url.database)).parent
    return sorted(directory.glob("*.backup"))
