"""/health and /ready, for everybody, and /metrics, for a key with the scope "metrics"."""

import sqlalchemy as sa
from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST

from bise.errors import UnavailableError
from bise.server.auth import admission_of, require_metrics
from bise.server.errors import RETRY_AFTER_S
from bise.store.database import Database

router = APIRouter()


@router.get("/health")
async def health(request: Request) -> Response:
    """Say whether requests would be answered now: 200, or 503 while the model loads or when the engine is dead."""
    return _say(admission_of(request).backend.ready)


@router.get("/ready")
async def ready(request: Request) -> Response:
    """Say whether another server should send requests here: not while this one is full, ends, or has no database."""
    return _say(admission_of(request).ready and await _has_database(request.app.state.database))


@router.get("/metrics", dependencies=[Depends(require_metrics)])
async def metrics(request: Request) -> Response:
    """Figures in Prometheus' text format."""
    return Response(admission_of(request).metrics.text(), media_type=CONTENT_TYPE_LATEST)


def _say(is_good: bool) -> Response:
    if is_good:
        return JSONResponse({"status": "ok"})
    return JSONResponse({"status": "unavailable"}, 503, headers={"retry-after": str(RETRY_AFTER_S)})


async def _has_database(database: Database) -> bool:
    try:
        async with database.read() as connection:
            await connection.execute(sa.select(1))
    except UnavailableError:
        return False
    return True
