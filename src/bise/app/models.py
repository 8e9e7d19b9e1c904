"""Which model answers: the one chosen for the conversation, else the owner's default, else the server's."""

from fastapi import Request

from bise.server.answering import backend_of, find_model
from bise.server.backend import DEFAULT_TEMPERATURE, ModelInfo
from bise.store.accounts import User
from bise.store.branches import AnswerSettings
from bise.store.conversations import StoredConversation

DEFAULT_PARAMETERS = {"temperature": DEFAULT_TEMPERATURE, "top_p": 1.0}


def default_model(request: Request, user: User) -> ModelInfo:
    """Find who answers in new conversations; a default that is not on offer any more is none."""
    models = backend_of(request).models()
    return next((model for model in models if model.id == user.default_model), models[0])


def model_for(request: Request, user: User, conversation: StoredConversation) -> ModelInfo:
    """Find who answers in a conversation.

    Raises:
        NotFoundError: the model chosen for it is not on offer any more; the message lists those that are.
    """
    if conversation.model is None:
        return default_model(request, user)
    return find_model(backend_of(request), conversation.model)


def settings_for(model: ModelInfo, conversation: StoredConversation) -> AnswerSettings:
    """Say with which parameters a model is asked, for the record."""
    return AnswerSettings(model.id, {**DEFAULT_PARAMETERS, **(conversation.parameters or {})})


def show_model(model: ModelInfo) -> dict[str, object]:
    """Describe a model to the page."""
    return {
        "id": model.id,
        "host": None if model.owned_by == ModelInfo.owned_by else model.owned_by,  # another server, where messages go
        "tells_probabilities": model.tells_probabilities,
        "demonstration": model.demonstration,
        "context_length": model.context_length,
        "card_markdown": model.card_markdown,
    }
