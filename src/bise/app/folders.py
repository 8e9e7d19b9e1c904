"""What the page asks about folders, which it calls projects, and about pins."""

from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import AfterValidator, BaseModel, StringConstraints

from bise.app.replies import chat
from bise.app.requests import Id, Text, database_of, json_response, read_body
from bise.app.session import SignedIn
from bise.store.folders import (
    MAX_INSTRUCTIONS_CHARS,
    MAX_NAME_CHARS,
    change_folder,
    create_folder,
    delete_folder,
    file_conversation,
    list_folders,
    pin_conversation,
)

router = APIRouter()


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("the text has a NUL character, which no instructions can hold")
    return text


class FolderContent(BaseModel):
    """What a folder is called and what those who answer in it are told; instructions may be empty."""

    name: Annotated[Text, StringConstraints(max_length=MAX_NAME_CHARS)]
    instructions: Annotated[str, AfterValidator(_without_nul), StringConstraints(max_length=MAX_INSTRUCTIONS_CHARS)] = (
        ""
    )


class Filing(BaseModel):
    """The folder that a conversation is put into; None: into none."""

    folder_id: Id | None


class Pin(BaseModel):
    """Whether a conversation stays at the top."""

    pinned: bool


@router.get("/api/folders", response_model=chat.Folders)
async def show_folders(request: Request, user: SignedIn) -> Response:
    """List the folders by name."""
    return json_response({"folders": [vars(folder) for folder in await list_folders(database_of(request), user.id)]})


@router.post("/api/folders", response_model=chat.Folder)
async def make_folder(request: Request, user: SignedIn) -> Response:
    """Make a folder."""
    body = await read_body(request, FolderContent)
    return json_response(vars(await create_folder(database_of(request), user.id, body.name, body.instructions)), 201)


@router.put("/api/folders/{folder_id}", response_model=chat.Folder)
async def replace_folder(request: Request, user: SignedIn, folder_id: str) -> Response:
    """Give a folder another name and other instructions."""
    body = await read_body(request, FolderContent)
    folder = await change_folder(database_of(request), user.id, folder_id, body.name, body.instructions)
    return json_response(vars(folder))


@router.delete("/api/folders/{folder_id}")
async def remove_folder(request: Request, user: SignedIn, folder_id: str) -> Response:
    """Delete a folder; its conversations stay."""
    await delete_folder(database_of(request), user.id, folder_id)
    return Response(status_code=204)


@router.put("/api/conversations/{conversation_id}/folder")
async def put_into_folder(request: Request, user: SignedIn, conversation_id: str) -> Response:
    """Put a conversation into a folder, or out of all."""
    body = await read_body(request, Filing)
    await file_conversation(database_of(request), user.id, conversation_id, body.folder_id)
    return Response(status_code=204)


@router.put("/api/conversations/{conversation_id}/pin")
async def pin(request: Request, user: SignedIn, conversation_id: str) -> Response:
    """Keep a conversation at the top, or no longer."""
    body = await read_body(request, Pin)
    await pin_conversation(database_of(request), user.id, conversation_id, body.pinned)
    return Response(status_code=204)
