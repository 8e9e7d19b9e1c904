"""What the page asks to take everything along, and to bring it in."""

from typing import cast

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse

from bise.app.archive import write_archive
from bise.app.importing import Imports, show_import
from bise.app.replies import data
from bise.app.requests import database_of, json_response
from bise.app.session import SignedIn
from bise.server.errors import ApiError
from bise.store.tables import now

router = APIRouter()
UPLOAD = "/api/import"


@router.get("/api/export.zip")
async def export_everything(request: Request, user: SignedIn, language: str = "en") -> Response:
    """Give all conversations as one zip file, made while it is sent."""
    name = f"bise-{now():%Y-%m-%d}.zip"
    headers = {"content-disposition": f'attachment; filename="{name}"', "cache-control": "no-store"}
    pieces = write_archive(database_of(request), user.id, language)
    return StreamingResponse(pieces, media_type="application/zip", headers=headers)


@router.post(UPLOAD, response_model=data.LatestImport)
async def import_file(request: Request, user: SignedIn) -> Response:
    """Receive a file, as the whole body, and begin to take it in."""
    if request.headers.get("content-length") == "0":
        raise ApiError(400, "The file is empty. Choose another.", code="file_empty")
    return json_response(show_import(await _imports(request).start(user.id, request.stream())), 202)


@router.get(UPLOAD, response_model=data.LatestImport)
async def show_import_state(request: Request, user: SignedIn) -> Response:
    """Tell how the latest import stands."""
    return json_response(show_import(_imports(request).state(user.id)))


@router.delete(UPLOAD)
async def cancel_import(request: Request, user: SignedIn) -> Response:
    """End an import; what came in so far stays."""
    await _imports(request).cancel(user.id)
    return Response(status_code=204)


def _imports(request: Request) -> Imports:
    return cast(Imports, request.app.state.imports)
