"""POST /v1/embeddings, in the dialects of OpenAI and Mistral."""

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from bise.server.answering import find_model, head_of, headers_for, read_body
from bise.server.auth import Embedding
from bise.server.streams import ClientGoneError, while_connected
from bise.server.wire.embeddings import EmbeddingBody

router = APIRouter()


@router.post("/v1/embeddings")
@router.post("/openai/deployments/{deployment}/embeddings")
async def embeddings(request: Request, backend: Embedding) -> Response:
    """Turn texts into vectors."""
    body = await read_body(request, EmbeddingBody)
    model = find_model(backend, body.model)
    try:
        made = await while_connected(request, backend.embed(body.to_request()))
    except ClientGoneError:
        return Response(status_code=499)  # nobody reads it
    return JSONResponse(body.answer(head_of("embd", model), made), headers=headers_for(body))
