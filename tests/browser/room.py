"""The whole application, around a backend that answers by the question: a process of its own for the browser tests.

python tests/browser/room.py PORT DATABASE_FILE [accounts [ISSUER]]

With "accounts" it is a server that others reach, without an admin yet, where sign-up is for the invited; it prints the
code for the first admin. ISSUER is a provider at which people may sign in, too.

An adapter in `home()/adapters/bise-demo/` is offered as a second model, as the local backend does, and the name of an
empty file in `home()/elsewhere/` as the model of another server.
"""

import asyncio
import sys
from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path

from bise.app.generation import Generations
from bise.app.learning import Learning
from bise.app.oidc import SingleSignOn
from bise.app.session import Entrance
from bise.app.start import create_app
from bise.config import home
from bise.errors import UnavailableError
from bise.messages import Conversation
from bise.server.admission import Admission
from bise.server.backend import ChatEvent, ChatRequest, Finished, ModelInfo, ScoredToken, TextDelta, ThinkingDelta
from bise.server.listen import Server, bind
from bise.server.settings import OidcProvider
from bise.store.accounts import local_owner
from bise.store.database import open_database
from bise.store.turns import mark_interrupted
from tests.imitated_tune import imitated_command

ANSWERS = Path(__file__).with_name("answers")
CARD = """# bise-demo

A *demonstration* model for tests.

|  |  |
| --- | --- |
| Parameters | none |
"""
MODEL = ModelInfo("bise-demo", 4096, 1_700_000_000, True, CARD)
PIECE_CHARS = 7  # so that pieces end inside words and marks
PAUSE_S = 0.004
THINKING_PAUSE_S = 0.15
QUEUE_PAUSE_S = 1.2
THOUGHT = "The *bise* comes from the north, so the lake is cold; but is it *always* so? Look at the towns first."
SLOW_PAUSE_S = 0.025


class AnsweringBackend:
    """Answers with the file of `answers/` that the question's first word names, else with a greeting.

    "slow" before the name makes the answer slow; "fail" makes it break off; "count" counts the answers; "think" lets it
    think before, and "queue" wait in line. An answer that is continued goes on after what is there. Each piece is a
    token, with probabilities when they are asked for.
    """

    ready = True
    num_counted = 0

    def models(self) -> tuple[ModelInfo, ...]:
        adapters = sorted(path.name for path in (home() / "adapters" / MODEL.id).glob("*"))
        elsewhere = sorted(path.name for path in (home() / "elsewhere").glob("*"))
        return (
            MODEL,
            *(replace(MODEL, id=f"{MODEL.id}:{name}", demonstration=False) for name in adapters),
            *(
                replace(MODEL, id=name, demonstration=False, owned_by="example-cloud", tells_probabilities=False)
                for name in elsewhere
            ),
        )

    async def count_tokens(self, model: str, conversation: Conversation) -> int:
        del model
        return sum(len(message.content) for message in conversation.messages) // 4

    async def chat(self, request: ChatRequest) -> AsyncGenerator[ChatEvent, None]:
        asked = [message.content for message in request.conversation.messages if message.role == "user"]
        return self._answer(asked[-1].split(), request)

    async def close(self) -> None:
        pass

    async def _answer(self, words: list[str], request: ChatRequest) -> AsyncGenerator[ChatEvent, None]:
        pause = SLOW_PAUSE_S if words[0] == "slow" else PAUSE_S
        if words[0] == "queue":
            for place in (3, 2, 0):
                request.tally.queue_place = place
                await asyncio.sleep(QUEUE_PAUSE_S)
        if words[0] == "think":
            for word in THOUGHT.split(" "):
                await asyncio.sleep(THINKING_PAUSE_S)
                yield ThinkingDelta(f"{word} ")
        if words[0] == "wait":
            await asyncio.sleep(3600)
        file = ANSWERS / f"{words[-1]}.md"
        text = file.read_text(encoding="utf-8") if file.exists() else "Hello! I am **Bise**."
        if words[0] == "count":
            self.num_counted += 1
            text = f"This is answer number {self.num_counted}."
        text = text[len(request.prefix) :]
        pieces = [text[start : start + PIECE_CHARS] for start in range(0, len(text), PIECE_CHARS)]
        for piece in pieces:
            await asyncio.sleep(pause)
            request.tally.num_completion_tokens += 1
            yield TextDelta(piece, tokens=(scored(piece),) if request.sampling.logprobs else ())
            if words[0] == "fail":
                raise UnavailableError("The engine stopped answering.", code="engine_interrupted")
        yield Finished("stop", 10, len(pieces))


def scored(piece: str) -> ScoredToken:
    """A token that was likely when it is long, with others that might have stood there."""
    logprob = -0.05 if len(piece) == PIECE_CHARS else -1.2
    others = tuple(
        ScoredToken(word, word.encode(), logprob - 1 - place) for place, word in enumerate(("wind", " la", "s"))
    )
    return ScoredToken(piece, piece.encode(), logprob, (ScoredToken(piece, piece.encode(), logprob), *others))


async def main(port: int, file: Path, with_accounts: bool, issuer: str) -> None:
    database = await open_database(f"sqlite+aiosqlite:///{file}")
    await mark_interrupted(database)
    backend = AnsweringBackend()
    admission = Admission(backend, database)
    generations = Generations(database, admission)
    providers = (OidcProvider("mock", "Mock", issuer, "bise"),) if issuer else ()
    owner = None if with_accounts else await local_owner(database)
    entrance = Entrance(owner, port, sign_up="invited", sign_on=SingleSignOn(providers))
    learning = Learning(imitated_command(home()), modules=())
    application = create_app(admission, database, generations, entrance, learning)
    with bind("127.0.0.1", port) as listener:
        way_in = entrance.new_setup_code() if with_accounts else f"http://127.0.0.1:{port}/enter?token={entrance.token}"
        print(way_in, flush=True)
        await Server(application, generations.close).serve([listener])
    await database.close()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), Path(sys.argv[2]), "accounts" in sys.argv[3:], *sys.argv[4:5] or [""]))
