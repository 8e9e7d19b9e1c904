"""Descriptions of models, and counts of tokens, that every client reads."""

from datetime import UTC, datetime

from bise.server.backend import DEFAULT_TEMPERATURE, ModelInfo


def model_card(model: ModelInfo) -> dict[str, object]:
    """Describe a model so that OpenAI's, Mistral's and Anthropic's clients read it."""
    return {
        "id": model.id,
        "object": "model",
        "type": "base",
        "created": model.created,
        "created_at": datetime.fromtimestamp(model.created, UTC).isoformat(),
        "owned_by": model.owned_by,
        "name": model.id,
        "parent": model.parent,
        "display_name": model.id,
        "description": model.description,
        "max_context_length": model.context_length,
        "max_model_len": model.context_length,
        "max_input_tokens": model.context_length,
        "max_tokens": model.context_length,
        "aliases": [],
        "default_model_temperature": DEFAULT_TEMPERATURE,
        "capabilities": {
            "completion_chat": True,
            "completion_fim": model.fills_in_the_middle,
            "function_calling": model.calls_tools,
            "fine_tuning": False,
            "vision": False,
        },
    }


def model_list(models: tuple[ModelInfo, ...]) -> dict[str, object]:
    """All models, as one page."""
    cards = [model_card(model) for model in models]
    return {
        "object": "list",
        "data": cards,
        "has_more": False,
        "first_id": models[0].id if models else None,
        "last_id": models[-1].id if models else None,
    }


def usage(num_prompt_tokens: int, num_completion_tokens: int) -> dict[str, int]:
    """Count tokens as clients expect them."""
    return {
        "prompt_tokens": num_prompt_tokens,
        "completion_tokens": num_completion_tokens,
        "total_tokens": num_prompt_tokens + num_completion_tokens,
    }
