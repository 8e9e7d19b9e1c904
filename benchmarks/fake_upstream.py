"""A server that answers chat completions at once, for benchmarks of what stands before it: `fake_upstream.py PORT`.

Every answer has eight pieces of text and a usage, whole or streamed. A request for the model `idle` gets one piece, and
nothing more until it goes away. Nothing is parsed but the length of the body and three words in it, so that this server
is never what is measured.
"""

import asyncio
import json
import sys

PIECES = [f"word{number} " for number in range(8)]
_USAGE = {"prompt_tokens": 5, "completion_tokens": len(PIECES), "total_tokens": 5 + len(PIECES)}
_HEAD = {"id": "chatcmpl-fake", "created": 1, "model": "fake"}


def _chunk(delta: dict[str, str], reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    return b"data: " + json.dumps({**_HEAD, "object": "chat.completion.chunk", "choices": [choice]}).encode() + b"\n\n"


_FIRST = _chunk({"role": "assistant", "content": PIECES[0]})
_STREAM = (
    b"".join([_FIRST, *(_chunk({"content": piece}) for piece in PIECES[1:]), _chunk({}, "stop")])
    + b"data: "
    + json.dumps({**_HEAD, "object": "chat.completion.chunk", "choices": [], "usage": _USAGE}).encode()
    + b"\n\ndata: [DONE]\n\n"
)
_MESSAGE = {"index": 0, "message": {"role": "assistant", "content": "".join(PIECES)}, "finish_reason": "stop"}
_WHOLE = json.dumps({**_HEAD, "object": "chat.completion", "choices": [_MESSAGE], "usage": _USAGE}).encode()
_MODELS = json.dumps({"object": "list", "data": [{"id": "fake"}, {"id": "idle"}]}).encode()


def _response(kind: bytes, body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\ncontent-length: %d\r\n\r\n%b" % (kind, len(body), body)


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = next(
                (int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
            )
            body = (await reader.readexactly(length)).replace(b" ", b"")
            if b'"model":"idle"' in body:
                start = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
                writer.write(start + b"%x\r\n%b\r\n" % (len(_FIRST), _FIRST))
                await reader.read()
                return
            if b'"stream":true' in body:
                writer.write(_response(b"text/event-stream", _STREAM))
            else:
                writer.write(_response(b"application/json", _WHOLE if length else _MODELS))
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        return
    finally:
        writer.close()


async def main(port: int) -> None:
    """Serve until the process is ended."""
    server = await asyncio.start_server(_serve, "127.0.0.1", port, backlog=2048, limit=1 << 20)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
