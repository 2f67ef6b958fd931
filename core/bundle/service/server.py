"""The service as a process: its socket, TLS, slow connections, and a stop that answers what it has begun."""

import asyncio
import errno
import logging
import math
import resource
import signal
import socket
import ssl
import time
from contextlib import suppress
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from core.errors import OptionError
from core.files import shortened
from core.web import App


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that is bound to an address of this machine. Raises OptionError."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address[:2], family=family, backlog=1024)
    except socket.gaierror:
        raise OptionError(f"{shortened(host)!r} is not an address.") from None
    except PermissionError:
        raise OptionError(f"You may not use port {port}; choose one above 1023 with --port.") from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise OptionError(f"Port {port} is in use; choose another with --port.") from None
        raise OptionError(f"{host} is not an address of this machine ({error.strerror}).") from error


MOST_CONNECTIONS = 1000
SPARE_FILES = 64
"""Open files beside the connections: libraries, logs, TLS handshakes."""
_SENTENCE = b'{"error":"The service has too many connections. Try again in a second."}'
FULL = (
    b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nConnection: close\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (len(_SENTENCE), _SENTENCE)
)


def _most_connections() -> int:
    """Allow this process as many open files as it may have. Return for how many connections they suffice."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_CONNECTIONS + SPARE_FILES
    files = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
    return max(1, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - SPARE_FILES)


class Connection(H11Protocol):
    """A connection that is refused if there are too many. Without files for it, asyncio could accept none."""

    most = MOST_CONNECTIONS

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.most:
            transport.write(FULL)
            transport.close()


class Server(uvicorn.Server):
    """A server that closes connections which begin no request, or do not complete its headers, in time.

    Uvicorn closes only those that send nothing between two requests.
    """

    def __init__(self, config: uvicorn.Config, idle_seconds: float) -> None:
        super().__init__(config)
        self._idle_seconds = idle_seconds
        Connection.most = _most_connections()
        self._seen: WeakKeyDictionary[Any, tuple[Any, float]] = WeakKeyDictionary()
        """The last request of each connection that waits for one, and since when."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen. Without files for a connection, asyncio would print a thousand tracebacks a second."""
        asyncio.get_running_loop().set_exception_handler(_without_full_tables)
        await super().startup(sockets)

    async def on_tick(self, counter: int) -> bool:
        """Look at all connections once a second."""
        if counter % 10 == 0:
            now = time.monotonic()
            connections: list[Any] = list(self.server_state.connections)  # of h11
            for connection in connections:
                request = connection.cycle
                seen, since = self._seen.get(connection, (self, now))
                if seen is not request or (request is not None and not request.response_complete):
                    self._seen[connection] = (request, now)
                elif now - since > self._idle_seconds:
                    connection.transport.abort()
        return await super().on_tick(counter)


def _without_full_tables(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    error = context.get("exception")
    if not (isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)):
        loop.default_exception_handler(context)


def make_server(app: App, cert: Path | None, key: Path | None, seconds: float) -> Server:
    """Return a server for one process. Raises OptionError if certificate and key cannot be used.

    A request has `seconds` to arrive and as many to be answered, also when the service stops.
    """
    # httptools would be faster, but reads headers of any length into memory.
    config = uvicorn.Config(
        app,
        http=Connection,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ssl_certfile=cert,
        ssl_keyfile=key,
        timeout_graceful_shutdown=math.ceil(2 * seconds) + 1,
    )
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # it warns of each damaged request
    try:
        config.load()
    except ssl.SSLError as error:
        raise OptionError(f"{cert} and {key} are not a certificate and its key ({error.reason}).") from error
    except OSError as error:
        raise OptionError(f"The certificate or its key cannot be read ({error.strerror}).") from error
    return Server(config, seconds)


def serve(server: Server, listener: socket.socket) -> None:
    """Answer requests until SIGTERM or Ctrl-C, and then those that have begun."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)  # uvicorn repeats the signal at its end
    asyncio.run(server.serve([listener]))
