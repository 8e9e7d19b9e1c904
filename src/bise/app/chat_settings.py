"""How one conversation asks: its system prompt, its parameters, and whether it keeps how likely each token was."""

from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from bise.app.replies import chat
from bise.app.requests import Text, database_of, json_response, read_body, show_settings
from bise.app.session import SignedIn
from bise.store.conversations import ConversationSettings, choose_settings
from bise.store.probabilities import read_tokens

router = APIRouter()
MAX_PROMPT_CHARS = 20_000


class Parameters(BaseModel):
    """What differs from the default; the ranges are those that every kind of server takes."""

    model_config = ConfigDict(extra="forbid")

    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    max_tokens: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    seed: Annotated[int, Field(ge=0, lt=2**31)] | None = None


class ChatSettings(BaseModel):
    """How a conversation's next answers are asked for."""

    model_config = ConfigDict(extra="forbid")

    system_prompt: Annotated[Text, StringConstraints(max_length=MAX_PROMPT_CHARS)] | None = None
    parameters: Parameters = Parameters()
    keeps_probabilities: bool = False

    def stored(self) -> ConversationSettings:
        """As the database keeps them: only what was chosen."""
        chosen = self.parameters.model_dump(exclude_none=True)
        return ConversationSettings(self.system_prompt, chosen or None, self.keeps_probabilities)


@router.put("/api/conversations/{conversation_id}/settings", response_model=chat.Settings)
async def change_chat_settings(request: Request, user: SignedIn, conversation_id: str) -> Response:
    """Say how the next answers of a conversation are asked for; what is not named is as by default."""
    body = await read_body(request, ChatSettings)
    changed = await choose_settings(database_of(request), user.id, conversation_id, body.stored())
    return json_response(show_settings(changed))


@router.get("/api/messages/{message_id}/probabilities", response_model=chat.Probabilities)
async def show_probabilities(request: Request, user: SignedIn, message_id: str) -> Response:
    """Show how likely each token of an answer was, where that was kept; log probabilities are natural ones."""
    tokens = await read_tokens(database_of(request), user.id, message_id)
    return json_response({"tokens": [vars(token) for token in tokens]})
