"""Verdicts of the portal on texts that this service read."""

import asyncio
import json
import os
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core.bundle.reader import REASON, Log, Reading, VerdictError
from core.bundle.service.refusal import RefusalError
from core.files import shortened

REMEMBERED = 100_000
"""Readings that may still get a verdict. The oldest is forgotten first."""
TAIL_BYTES = 64 * 1024**2
"""Bytes at the end of the log that are read at the start. They hold about as many readings."""


class Verdict(BaseModel):
    """The portal's answer to a submitted text."""

    model_config = ConfigDict(extra="forbid", strict=True)

    id: str
    """The id of the reading."""
    accepted: bool
    """True if the portal accepted the text."""
    reason: str | None = Field(default=None, max_length=REASON)
    """The cause of a rejection: captcha, timeout, password, or another short text."""


class _Read(NamedTuple):
    sha256: str
    text: str


class Verdicts:
    """The verdicts of one service. Only its event loop uses them."""

    def __init__(self, log: Log | None, remembered: int = REMEMBERED) -> None:
        self._log, self._remembered = log, remembered
        self._readings: OrderedDict[str, _Read] = OrderedDict()
        for id_, read in _logged(log.path) if log else ():  # a portal can answer after a restart
            self._remember(id_, read)

    def remember(self, sha256: str, reading: Reading) -> None:
        """Allow a verdict about a reading, if there is a log."""
        if reading.id is not None:
            self._remember(reading.id, _Read(sha256, reading.text))

    def _remember(self, id_: str, read: _Read) -> None:
        self._readings[id_] = read
        if len(self._readings) > self._remembered:
            self._readings.popitem(last=False)

    async def add(self, data: bytes) -> Verdict:
        """Log a verdict from its JSON. Return it. Raises RefusalError."""
        if self._log is None:
            raise RefusalError(404, "This service has no log. Start it with --log FILE.")
        verdict = _parsed(data)
        read = self._readings.get(verdict.id)
        if read is None:
            raise RefusalError(404, f"This service has not read {shortened(verdict.id)!r}, or too long ago.")
        try:
            is_written = await asyncio.to_thread(  # a slow disk must not stop the event loop
                self._log.verdict, verdict.id, read.sha256, read.text, accepted=verdict.accepted, reason=verdict.reason
            )
        except VerdictError as error:
            raise RefusalError(422, str(error)) from error
        if not is_written:
            raise RefusalError(507, "The log cannot be written. The disk of the service may be full.")
        return verdict


def _logged(path: Path) -> Iterator[tuple[str, _Read]]:
    """Yield the id and the content of the readings in the last TAIL_BYTES of a log."""
    with path.open("rb") as file:
        start = max(0, os.fstat(file.fileno()).st_size - TAIL_BYTES)
        file.seek(start)
        for line in file:
            try:
                answer = json.loads(line)
                id_, read = answer["id"], _Read(answer["sha256"], answer["reading"]["text"])
            except (ValueError, KeyError, TypeError, RecursionError):  # a verdict, or a line that is cut or damaged
                continue
            if all(isinstance(value, str) for value in (id_, *read)):
                yield id_, read


def _parsed(data: bytes) -> Verdict:
    try:
        return Verdict.model_validate_json(data)
    except ValidationError as error:
        if any(each["type"] == "json_invalid" for each in error.errors()):
            raise RefusalError(400, "The request is not JSON.") from error
        sentence = f'Send {{"id": "...", "accepted": true or false, "reason": null or up to {REASON} characters}}.'
        raise RefusalError(422, sentence) from error
