"""The requests that the service answers: /v1/read, /v1/verdict, /healthz, /readyz and /metrics."""

import time
from collections.abc import AsyncIterator, Mapping, MutableMapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request, Security
from fastapi.responses import JSONResponse, Response
from fastapi.security import HTTPBearer
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from core.bundle.reader import MAX_BYTES, MAX_PIXELS, Log
from core.bundle.service.access import Guard
from core.bundle.service.audit import AuditLog
from core.bundle.service.bodies import Bodies
from core.bundle.service.metrics import CONTENT_TYPE, Metrics
from core.bundle.service.refusal import RefusalError
from core.bundle.service.verdicts import Verdict, Verdicts
from core.bundle.service.work import ReadAll, Workers
from core.web import Receive, Scope, Send

READ, VERDICT = "/v1/read", "/v1/verdict"
VERSION = "1"
"""Version of the interface. It changes with /v1."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits of the service."""

    threads: int
    room: int = 64
    """Images that wait or are being read. The next request gets status 429."""
    seconds: float = 10
    """Time in which a request has to arrive, and time that its image may wait and be read."""


class Position(BaseModel):
    """One character and its probability."""

    char: str
    confidence: float


class Answer(BaseModel):
    """The reading of an image, as `slotlab predict --json` prints it, without the file and with its id."""

    text: str
    confidence: float
    accepted: bool | None
    unfamiliar: str | None
    positions: list[Position]
    id: str | None
    """Name of the reading in the log. Null without a log."""


class Problem(BaseModel):
    """A request that is refused or failed."""

    error: str


class Health(BaseModel):
    """The state of the service."""

    status: str
    bundle: str
    """The bundle by the hash of its files."""


IMAGE = {"schema": {"type": "string", "format": "binary"}}
FORM = {
    "schema": {
        "type": "object",
        "properties": {"image": {"type": "string", "format": "binary"}},
        "required": ["image"],
    }
}
BODY = {
    "requestBody": {
        "required": True,
        "description": f"One image of at most {MAX_BYTES:,} bytes and {MAX_PIXELS:,} pixels.",
        "content": {"image/*": IMAGE, "application/octet-stream": IMAGE, "multipart/form-data": FORM},
    }
}
JSON_BODY = {
    "requestBody": {"required": True, "content": {"application/json": {"schema": Verdict.model_json_schema()}}}
}
REASONS = {
    400: "No image, a damaged form, or a verdict that is not JSON.",
    401: "A missing or wrong token.",
    403: "A page of another website.",
    404: "A service without a log, or an id that it did not give, or too long ago.",
    408: "The body came too slowly.",
    413: "More bytes than the limit.",
    415: "A body of another format.",
    421: "A foreign host name.",
    422: "An image that cannot be read, or JSON that is not a verdict.",
    429: "Too many requests; try again after Retry-After seconds.",
    500: "An unexpected failure.",
    507: "The log cannot be written.",
}


def _problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: {"model": Problem, "description": REASONS[status]} for status in statuses}


def make_app(
    read_all: ReadAll,
    bundle: str,
    limits: Limits,
    guard: Guard,
    *,
    audit: AuditLog | None = None,
    log: Log | None = None,
) -> "Recorder":
    """Return the ASGI app of a loaded bundle: what reads its images, its name, and the log that this writes."""
    workers = Workers(read_all, threads=limits.threads, room=limits.room, seconds=limits.seconds)
    bodies = Bodies(limits.seconds)
    verdicts = Verdicts(log)
    metrics = Metrics(
        waiting=lambda: workers.waiting,
        audit_failures=lambda: audit.failures if audit else 0,
        log_failures=lambda: log.failures if log else 0,
    )

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        workers.start()
        yield

    # The pages of the documentation would load scripts from other hosts.
    api = FastAPI(
        title="Slotlab", version=VERSION, description="Read the images of one portal.",
        docs_url=None, redoc_url=None, lifespan=lifespan, dependencies=[Depends(guard.check)],
        responses=_problems(403, 421, 500),
        exception_handlers={RefusalError: _refused, HTTPException: _not_found, Exception: _failed},
    )  # fmt: skip

    async def client(request: Request, _documented: Annotated[object, Security(HTTPBearer(auto_error=False))]) -> None:
        request.scope[RECORD]["client"] = await guard.client(request)

    @api.post(
        READ, response_model=Answer, responses=_problems(400, 401, 408, 413, 415, 422, 429), openapi_extra=BODY,
        dependencies=[Depends(client)], operation_id="read", summary="Read one image",
    )  # fmt: skip
    async def read(request: Request) -> Response:
        workers.check_room()  # before the body is received
        async with bodies.image(request) as data:
            sha256, reading = await workers.read(data)
        metrics.count_reading(accepted=reading.accepted, unfamiliar=reading.unfamiliar is not None)
        request.scope[RECORD] |= {
            "sha256": sha256, "confidence": reading.confidence, "accepted": reading.accepted,
            "unfamiliar": reading.unfamiliar,
        }  # fmt: skip
        verdicts.remember(sha256, reading)
        return JSONResponse(reading.to_dict() | {"id": reading.id})

    @api.post(
        VERDICT, responses=_problems(400, 401, 404, 408, 413, 415, 422, 429, 507), openapi_extra=JSON_BODY,
        dependencies=[Depends(client)], operation_id="verdict", summary="Log whether the portal accepted a text",
        status_code=204, response_class=Response,
    )  # fmt: skip
    async def verdict(request: Request) -> None:
        added = await verdicts.add(await bodies.json(request))
        metrics.count_verdict(accepted=added.accepted)

    @api.get("/healthz", operation_id="health", summary="Answer while the process lives")
    async def health() -> Health:
        return Health(status="ok", bundle=bundle)

    @api.get("/readyz", operation_id="ready", summary="Answer once the bundle is loaded and has passed its self-test")
    async def ready() -> Health:
        return Health(status="ready", bundle=bundle)  # a bundle that fails is never served

    @api.get(
        "/metrics", response_class=Response, dependencies=[Depends(client)], operation_id="metrics",
        summary="Return the counters of the service for Prometheus",
        responses=_problems(401) | {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    )  # fmt: skip
    async def counters() -> Response:
        return Response(metrics.text(), media_type=CONTENT_TYPE)

    return Recorder(api, metrics, audit)


RECORD = "slotlab.record"
"""Key of a request's scope: what the audit log says about it."""


class Recorder:
    """ASGI middleware that counts and logs each request for a reading, before its answer is sent."""

    def __init__(self, app: FastAPI, metrics: Metrics, audit: AuditLog | None) -> None:
        self.app = app
        self._metrics, self._audit = metrics, audit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        record: dict[str, Any] = dict.fromkeys(("sha256", "confidence", "accepted", "unfamiliar", "client"))
        scope[RECORD] = record
        if scope["type"] != "http" or scope["path"] != READ:
            await self.app(scope, receive, send)
            return
        began, start = datetime.now(UTC), time.perf_counter()

        async def send_recorded(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                seconds = time.perf_counter() - start
                self._metrics.count_request(message["status"], seconds)
                if self._audit is not None:
                    at = began.isoformat(timespec="milliseconds")
                    self._audit.write({"time": at, "status": message["status"], "ms": round(seconds * 1e3, 2)} | record)
            await send(message)

        await self.app(scope, receive, send_recorded)


def description() -> dict[str, Any]:
    """Return the interface as OpenAPI."""
    return make_app(lambda _images: [], "", Limits(threads=1), Guard(None, behind_proxy=False)).app.openapi()


def _problem(status: int, sentence: str, headers: Mapping[str, str] | None = None) -> Response:
    return JSONResponse({"error": sentence}, status, headers)


async def _refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RefusalError)
    return _problem(error.status, str(error), error.headers)


async def _not_found(request: Request, error: Exception) -> Response:
    """Answer an unknown path or method. Other errors of Starlette do not happen."""
    assert isinstance(error, HTTPException)
    sentence = f"There is no {request.method} {request.url.path}."
    return _problem(error.status_code, sentence, error.headers)


async def _failed(_request: Request, _error: Exception) -> Response:
    """Answer an unexpected error. Uvicorn prints its traceback."""
    return _problem(500, "The service failed; its log has the reason.")
