"""GET /v1/models, /health and the OpenAPI document."""

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from bise.server.answering import backend_of, find_model
from bise.server.auth import ApiUser
from bise.server.openapi import document
from bise.server.wire.cards import model_card, model_list

router = APIRouter()


@router.get("/health")
async def health(request: Request) -> Response:
    """Say whether requests would be answered now: 200, or 503 while the model loads or when the engine is dead."""
    ready = backend_of(request).ready
    return JSONResponse({"status": "ok" if ready else "unavailable"}, 200 if ready else 503)


@router.get("/v1/models")
@router.get("/openai/models")
async def list_models(request: Request, _user: ApiUser) -> Response:
    """List the models on offer."""
    return JSONResponse(model_list(backend_of(request).models()))


@router.get("/v1/models/{model_id:path}")
async def show_model(request: Request, _user: ApiUser, model_id: str) -> Response:
    """Describe one model."""
    return JSONResponse(model_card(find_model(backend_of(request), model_id)))


@router.get("/openapi.json")
async def show_document(request: Request, _user: ApiUser) -> Response:
    """Describe this API for programs that make clients and tests from such documents."""
    return JSONResponse(document(request.app.state.routes))
