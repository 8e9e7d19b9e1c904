"""POST /v1/embeddings: texts to vectors, as numbers or as base64 of little-endian float32."""

import base64
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, StringConstraints

from bise.server.backend import EmbeddingRequest, Embeddings
from bise.server.wire.cards import usage
from bise.server.wire.chat_answers import Object
from bise.server.wire.completions import Ids, ListsOfIds, prompts_of
from bise.server.wire.fields import Body, ModelName

MAX_TEXTS = 2048

Text = Annotated[str, StringConstraints(min_length=1)]
Texts = Annotated[list[Text], Field(min_length=1, max_length=MAX_TEXTS)]


class EmbeddingBody(Body):
    """The body of POST /v1/embeddings."""

    model: ModelName
    input: Text | Texts | Ids | ListsOfIds
    encoding_format: Literal["float", "base64"] | None = None

    def to_request(self) -> EmbeddingRequest:
        """Turn the body into what a backend answers.

        Raises:
            UnsupportedError: it asks for something that is not supported.
        """
        self.refuse_unsupported()
        return EmbeddingRequest(self.model, prompts_of(self.input))

    def answer(self, head: Object, embeddings: Embeddings) -> Object:
        """The vectors, in the form asked for."""
        vectors = [
            {"object": "embedding", "index": index, "embedding": self._vector(np.asarray(vector, "<f4"))}
            for index, vector in enumerate(embeddings.vectors)
        ]
        return {**head, "object": "list", "data": vectors, "usage": usage(embeddings.num_tokens, 0)}

    def _vector(self, vector: "np.ndarray[tuple[int, ...], np.dtype[np.float32]]") -> object:
        if self.encoding_format == "base64":
            return base64.b64encode(vector.tobytes()).decode()
        return vector.tolist()
