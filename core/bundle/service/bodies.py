"""The body of a request: an image, a form with one file, or JSON. Nothing is written to disk."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect

from core.bundle.reader import MAX_BYTES
from core.bundle.service.refusal import RefusalError, busy

FORM = b"multipart/form-data"
FORM_BYTES = 16 * 1024
"""Bytes of a form beside those of its image."""
JSON_BYTES = 16 * 1024
MAX_HELD = 64 * 1024 * 1024
"""Bytes of all bodies in memory. Slow clients hold little of it each, so they keep nobody out."""


class Bodies:
    """The bodies in memory, of all requests together."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._held = 0

    @asynccontextmanager
    async def image(self, request: Request) -> AsyncIterator[bytes]:
        """Give the block the image's bytes. Raises RefusalError if they are too many, too slow or not an image.

        A client that stops sending gets its answer after `seconds`.
        """
        kind, options = parse_options_header(request.headers.get("content-type"))
        if not (kind in (b"", FORM, b"application/octet-stream") or kind.startswith(b"image/")):
            name = kind.decode("latin-1")
            sentence = f"Send an image with Content-Type image/png, or as multipart/form-data, not as {name}."
            raise RefusalError(415, sentence)
        async with self._received(request, MAX_BYTES, around=FORM_BYTES if kind == FORM else 0) as body:
            image = _only_part(body, options.get(b"boundary", b"")) if kind == FORM else bytes(body)
            if not image:
                raise RefusalError(400, "The request has no image. Send its bytes as the body.")
            if len(image) > MAX_BYTES:
                raise _too_large(MAX_BYTES)
            yield image

    async def json(self, request: Request) -> bytes:
        """Return a small body. Raises RefusalError if it is too large, too slow or not sent as JSON."""
        kind, _ = parse_options_header(request.headers.get("content-type"))
        if kind not in (b"", b"application/json"):
            raise RefusalError(415, f"Send JSON with Content-Type application/json, not as {kind.decode('latin-1')}.")
        async with self._received(request, JSON_BYTES) as body:
            return bytes(body)

    @asynccontextmanager
    async def _received(self, request: Request, limit: int, around: int = 0) -> AsyncIterator[bytearray]:
        """Give the block a body of at most `limit` bytes, and `around` bytes of its form."""
        length = request.headers.get("content-length", "")
        if length.isdecimal() and int(length) > limit + around:
            raise _too_large(limit)
        body = bytearray()
        try:
            await self._receive(request, body, limit, around)
            yield body
        finally:
            self._held -= len(body)

    async def _receive(self, request: Request, body: bytearray, limit: int, around: int) -> None:
        try:
            async with asyncio.timeout(self._seconds):
                async for chunk in request.stream():
                    body += chunk
                    self._held += len(chunk)
                    if len(body) > limit + around:
                        raise _too_large(limit)
                    if self._held > MAX_HELD:
                        raise busy()
        except TimeoutError:
            sentence = f"The request did not arrive within {self._seconds:g} seconds."
            raise RefusalError(408, sentence, {"Connection": "close"}) from None
        except ClientDisconnect:
            raise RefusalError(400, "The connection ended before the whole request.") from None


def _too_large(limit: int) -> RefusalError:
    return RefusalError(413, f"The request is too large; the limit is {limit:,} bytes.")


def _only_part(body: bytearray, boundary: bytes) -> bytes:
    """Return the content of the only part of a form. Raises RefusalError."""
    parts: list[bytearray] = []
    ended: list[bool] = []
    try:
        parser = MultipartParser(
            boundary,
            {
                "on_part_begin": lambda: parts.append(bytearray()),
                "on_part_data": lambda data, start, end: parts[-1].extend(data[start:end]),
                "on_end": lambda: ended.append(True),
            },
        )
        parser.write(bytes(body))
    except FormParserError:
        ended.clear()
    if not ended:
        raise RefusalError(400, "The form is damaged or incomplete.")
    if len(parts) != 1:
        raise RefusalError(400, f"The form has {len(parts)} parts; send one image.")
    return bytes(parts[0])
