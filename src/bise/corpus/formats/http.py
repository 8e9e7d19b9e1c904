"""HTTP responses as web archives hold them: status, content type and the body as plain bytes."""

import re
import zlib

_HEADER_END = re.compile(rb"\r?\n\r?\n")
_STATUS = re.compile(rb"HTTP/\d(?:\.\d)?[ \t]+(\d{3})\b")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\r\n]{0,1000})?\r?\n")


def read_response(block: bytes, limit: int) -> tuple[int, str, bytes]:
    """Status, Content-Type and body; transfer chunks and compression are undone up to `limit` bytes.

    Archives often keep the headers of a body that was unpacked already, so a body that does not look packed stays.

    Raises:
        ValueError: no status line, a damaged or endless body, or a compression that is not known.
    """
    status = _STATUS.match(block)
    if not status:
        raise ValueError(f"no HTTP status line, but {block[:20]!r}")
    end = _HEADER_END.search(block)
    header, body = (block[: end.start()], block[end.end() :]) if end else (block, b"")
    lines = re.sub(rb"\r?\n[ \t]+", b" ", header).decode("latin-1").splitlines()[1:]
    fields = {key.strip().lower(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    if "chunked" in fields.get("transfer-encoding", "").lower():
        body = _join_chunks(body)
    encoding = fields.get("content-encoding", "").lower()
    return int(status[1]), fields.get("content-type", ""), _decompress(body, encoding, limit)


def _join_chunks(body: bytes) -> bytes:
    parts: list[bytes] = []
    position = 0
    while size := _CHUNK_SIZE.match(body, position):
        length = int(size[1], 16)
        start = size.end()
        if length == 0:
            return b"".join(parts)
        if start + length > len(body):
            break
        parts.append(body[start : start + length])
        position = start + length
        position += 2 if body.startswith(b"\r\n", position) else body.startswith(b"\n", position)
    if not parts:
        return body
    raise ValueError(f"the chunks of the body break off after {position:,} bytes")


def _decompress(body: bytes, encoding: str, limit: int) -> bytes:
    if encoding in ("", "identity") or not body:
        return body
    if encoding in ("gzip", "x-gzip"):
        return _inflate(body, 31, limit) if body.startswith(b"\x1f\x8b") else body
    if encoding == "deflate":
        return body if body.lstrip().startswith(b"<") else _inflate(body, 15 if body[0] & 15 == 8 else -15, limit)
    if body.lstrip().startswith(b"<"):
        return body
    if encoding == "br":
        return _unbrotli(body, limit)
    raise ValueError(f"the body is packed as {encoding[:20]!r}, which is not known")


def _inflate(body: bytes, window_bits: int, limit: int) -> bytes:
    unpacker = zlib.decompressobj(wbits=window_bits)
    try:
        plain = unpacker.decompress(body, limit)
    except zlib.error as error:
        raise ValueError(f"the packed body is damaged: {error}") from None
    if not unpacker.eof:
        why = f"unpacks to more than {limit:,} bytes" if unpacker.unconsumed_tail else "is cut short"
        raise ValueError(f"the packed body {why}")
    return plain


def _unbrotli(body: bytes, limit: int) -> bytes:
    import brotli

    unpacker = brotli.Decompressor()
    try:
        plain: bytes = unpacker.process(body, output_buffer_limit=limit)
    except brotli.error as error:
        raise ValueError(f"the packed body is damaged: {error}") from None
    if not unpacker.is_finished():
        why = "is cut short" if unpacker.can_accept_more_data() else f"unpacks to more than {limit:,} bytes"
        raise ValueError(f"the packed body {why}")
    return plain
