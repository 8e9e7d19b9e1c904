"""A conversation in the database whose answers are known."""

from dataclasses import replace

from bise.store.accounts import local_owner
from bise.store.branches import AnswerSettings, Question, Turn, add_answer, add_turn
from bise.store.conversations import create_conversation
from bise.store.database import Database
from bise.store.turns import StoredMessage, finish_answer, get_conversation

SETTINGS = AnswerSettings("m", {"temperature": 0.3})


class Talk:
    """One conversation of the local owner."""

    def __init__(self, database: Database, owner: str, conversation_id: str) -> None:
        self.database, self.owner, self.id = database, owner, conversation_id
        self._num_asked = 0

    @classmethod
    async def begin(cls, database: Database) -> "Talk":
        owner = (await local_owner(database)).id
        return cls(database, owner, (await create_conversation(database, owner)).id)

    async def ask(self, content: str, answer: str, instead_of: str | None = None, status: str = "complete") -> Turn:
        question = Question(content, self._client_id(), instead_of)
        turn = await add_turn(self.database, self.owner, self.id, question, SETTINGS)
        await self.finish(turn, answer, status)
        return turn

    async def again(self, answer_id: str, answer: str) -> Turn:
        turn = await add_answer(self.database, self.owner, self.id, answer_id, self._client_id(), SETTINGS)
        await self.finish(turn, answer)
        return turn

    async def finish(self, turn: Turn, answer: str, status: str = "complete") -> None:
        done = replace(turn.assistant_message, content=answer, status=status)
        await finish_answer(self.database, self.id, done, turn.first_event + 1)

    async def shown(self) -> tuple[StoredMessage, ...]:
        return (await get_conversation(self.database, self.owner, self.id))[1]

    async def read(self) -> list[str]:
        return [message.content for message in await self.shown()]

    def _client_id(self) -> str:
        self._num_asked += 1
        return f"client-{self._num_asked}"
