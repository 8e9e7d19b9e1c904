"""GET /v1/models, and the OpenAPI document."""

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from bise.server.answering import find_model
from bise.server.auth import AnyKey
from bise.server.openapi import document
from bise.server.wire.cards import model_card, model_list

router = APIRouter()


@router.get("/v1/models")
@router.get("/openai/models")
async def list_models(backend: AnyKey) -> Response:
    """List the models that the key may ask."""
    return JSONResponse(model_list(backend.models()))


@router.get("/v1/models/{model_id:path}")
async def show_model(backend: AnyKey, model_id: str) -> Response:
    """Describe one model."""
    return JSONResponse(model_card(find_model(backend, model_id)))


@router.get("/openapi.json")
async def show_document(request: Request, _backend: AnyKey) -> Response:
    """Describe this API for programs that make clients and tests from such documents."""
    return JSONResponse(document(request.app.state.routes))
