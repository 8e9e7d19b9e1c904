"""/tokenize, /detokenize and /tokenizer_info: a model's vocabulary over HTTP, as vLLM offers it and lm-eval reads it."""

import asyncio

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from bise.errors import InputError
from bise.server.answering import find_model, headers_for, read_body
from bise.server.auth import AnyKey
from bise.server.backend import Backend, ModelInfo
from bise.server.wire.tokens import DetokenizeBody, TokenizeBody

router = APIRouter()


@router.post("/tokenize")
@router.post("/v1/tokenize")
async def tokenize(request: Request, backend: AnyKey) -> Response:
    """Turn text or a conversation into ids; of a conversation only their number is told."""
    body = await read_body(request, TokenizeBody)
    model = _model(backend, body.model)
    answer: dict[str, object] = {"max_model_len": model.context_length}
    if body.prompt is None:
        answer["count"] = await backend.count_tokens(model.id, body.conversation())
    else:
        tokenizer = await backend.tokenizer(model.id)
        raw = await asyncio.to_thread(tokenizer.encode_raw, body.prompt)
        ids = tokenizer.begin(raw) if body.add_special_tokens else raw
        answer |= {"tokens": ids, "count": len(ids)}
    return JSONResponse(answer, headers=headers_for(body))


@router.post("/detokenize")
@router.post("/v1/detokenize")
async def detokenize(request: Request, backend: AnyKey) -> Response:
    """Turn ids into text; control tokens have none."""
    body = await read_body(request, DetokenizeBody)
    tokenizer = await backend.tokenizer(_model(backend, body.model).id)
    wrong = next((token for token in body.tokens if token >= tokenizer.vocab_size), None)
    if wrong is not None:
        raise InputError(f"There is no token {wrong}. This model has the tokens 0 to {tokenizer.vocab_size - 1}.")
    return JSONResponse({"prompt": tokenizer.decode(body.tokens)}, headers=headers_for(body))


@router.get("/tokenizer_info")
async def tokenizer_info(backend: AnyKey, model: str | None = None) -> Response:
    """Describe a model's vocabulary."""
    found = _model(backend, model)
    tokenizer = await backend.tokenizer(found.id)
    return JSONResponse(
        {
            "tokenizer_class": "tekken",
            "model": found.id,
            "vocab_size": tokenizer.vocab_size,
            "bos_token": tokenizer.token_name(tokenizer.bos_id),
            "eos_token": tokenizer.token_name(tokenizer.eos_id),
            "chat_template": None,
            "model_max_length": found.context_length,
        }
    )


def _model(backend: Backend, name: str | None) -> ModelInfo:
    """The model of that name, or the default one."""
    return find_model(backend, name) if name is not None else backend.models()[0]
