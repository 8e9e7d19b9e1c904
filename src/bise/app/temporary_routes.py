"""What the page asks of temporary conversations: the routes of the others, as far as nothing is kept by them."""

from fastapi import APIRouter, Depends, Request, Response
from fastapi.routing import APIRoute

from bise.app.chat_settings import router as settings_router
from bise.app.replies import chat
from bise.app.requests import generations_of, temporary_of
from bise.app.routes import begin_conversation
from bise.app.routes import router as kept_router
from bise.app.session import SignedIn

_SHARED = {
    ("GET", "/api/conversations"),
    ("GET", "/api/conversations/{conversation_id}"),
    ("PATCH", "/api/conversations/{conversation_id}"),
    ("PUT", "/api/conversations/{conversation_id}/settings"),
    ("POST", "/api/conversations/{conversation_id}/messages"),
    ("POST", "/api/conversations/{conversation_id}/answers"),
    ("PUT", "/api/conversations/{conversation_id}/shown"),
    ("GET", "/api/conversations/{conversation_id}/events"),
    ("POST", "/api/messages/{message_id}/stop"),
    ("POST", "/api/messages/{message_id}/continue"),
    ("GET", "/api/messages/{message_id}/probabilities"),
}


async def _admit(request: Request, user: SignedIn) -> None:
    await temporary_of(request).admit(user)
    conversation_id = request.path_params.get("conversation_id")
    if request.method == "POST" and conversation_id is not None:
        await temporary_of(request).check_size(conversation_id)


router = APIRouter(dependencies=[Depends(_admit)])


@router.post("/api/temporary/conversations", response_model=chat.ConversationSummary)
async def begin_temporary(request: Request, user: SignedIn) -> Response:
    """Begin a conversation that is kept in memory only; of too many, the one longest unused goes."""
    await temporary_of(request).make_room(user.id)
    return await begin_conversation(request, user)


@router.delete("/api/temporary/conversations/{conversation_id}")
async def forget_temporary(request: Request, user: SignedIn, conversation_id: str) -> Response:
    """Forget a conversation at once; there is no undoing."""
    await generations_of(request).look(user.id, conversation_id)  # whose is it?
    await temporary_of(request).forget(conversation_id)
    return Response(status_code=204)


def _share() -> None:
    for route in (*kept_router.routes, *settings_router.routes):
        assert isinstance(route, APIRoute)
        for method in (route.methods or set()) & {method for method, path in _SHARED if path == route.path}:
            path = route.path.replace("/api/", "/api/temporary/", 1)
            router.add_api_route(
                path,
                route.endpoint,
                methods=[method],
                name=f"temporary_{route.name}",
                response_model=route.response_model,
            )


_share()
