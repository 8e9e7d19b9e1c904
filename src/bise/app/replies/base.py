"""What all replies have in common."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

Role = Literal["user", "admin"]
SignUp = Literal["off", "invited", "open"]


class Reply(BaseModel):
    """Neither more nor less than what is named here."""

    model_config = ConfigDict(extra="forbid", strict=True, use_attribute_docstrings=True)


class ErrorFacts(Reply):
    """What an error is called, and the values of its sentence."""

    code: str
    values: dict[str, str | float]
