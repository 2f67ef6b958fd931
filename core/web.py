"""The requests that the app answers, and what a browser may do with the responses.

A page of another site must not reach the app through the operator's browser. So we answer only under known host names
(DNS rebinding), accept only our own origin, and let the browser load nothing from elsewhere.
"""

import base64
import hashlib
import ipaddress
import logging
import re
from collections.abc import Awaitable, Callable, Collection, Iterable, MutableMapping
from fnmatch import fnmatchcase
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse

from core.errors import OptionError

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

LOOPBACK = ("127.0.0.1", "localhost", "::1")
"""Names of this machine. They are served only with the app's own port."""
MAX_UPLOAD_BYTES = 1 << 30
"""Limit for all visitors together. Streamlit holds an upload in memory until its session ends."""
MAX_UPLOAD_FILES = 10_000
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # with no-referrer, browsers send `Origin: null`, which we refuse
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
_OWN_PARTS = {"_stcore", "media", "component", "static", "app", "auth"}
"""First parts of the addresses of several parts that Streamlit has."""
_HOST_NAME = re.compile(r"(\*\.)?[a-z0-9-]+(\.[a-z0-9-]+)*")
_HOST = re.compile(r"(\[[0-9a-f:]+\]|[a-z0-9._-]+)(?::([0-9]{1,5}))?", re.IGNORECASE)
_SERVER_IS_HERE = "window.__streamlit = { BACKEND_BASE_URL: location.origin, MAIN_PAGE_BASE_URL: location.origin }"
_INLINE_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)


def check_host_name(name: str) -> str:
    """Return the name in lower case. Raises OptionError if it is an address or has a port."""
    if not _HOST_NAME.fullmatch(name.lower()):
        raise OptionError(f"{name!r} is not a host name. Use the name without scheme and port: lab.example.org")
    return name.lower()


def is_loopback(address: str | None) -> bool:
    """Return whether only this machine reaches what listens on an address. None is all addresses."""
    try:
        return address == "localhost" or ipaddress.ip_address(address or "0.0.0.0").is_loopback  # noqa: S104
    except ValueError:
        return False


def host_of(header: str) -> str:
    """Return the name or address in a `Host` header, or "" if it is damaged."""
    match = _HOST.fullmatch(header)
    return "" if match is None else match[1].strip("[]").lower().rstrip(".")


def check_address(address: str | None, *, has_login: bool) -> None:
    """Raise OptionError if other machines could reach an app without login. None listens on all addresses."""
    if not is_loopback(address) and not has_login:
        raise OptionError(
            f"Other machines can reach {address or 'all addresses'}, and this app has no login: anyone could label. "
            "Configure a login in secrets.toml, or listen on 127.0.0.1."
        )


def with_server(html: str) -> str:
    """Return Streamlit's page with a script that says where its server is: at the root of its origin."""
    return html.replace("<head>", f"<head><script>{_SERVER_IS_HERE}</script>", 1)


class Guard:
    """ASGI middleware that refuses foreign hosts and origins, and adds the headers to every response.

    `hosts` are the names from `server.allowedHosts`, where `*` is a wildcard. `html` is the page that the app serves.
    """

    def __init__(self, app: App, hosts: Iterable[str], html: str) -> None:
        self.app = app
        self.hosts = [host.lower().rstrip(".") for host in hosts]
        self.policy = _content_policy(_INLINE_SCRIPT.findall(html))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"}:
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        host, origin = headers.get("host", ""), headers.get("origin")
        serves = self._serves(host, scope)
        # Older browsers do not count WebSockets as 'self', so we name them.
        sockets = f" ws://{host} wss://{host}" if serves else ""

        async def send_with_headers(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                added = MutableHeaders(scope=message)
                added.update(_HEADERS)
                added["Content-Security-Policy"] = f"{self.policy}; connect-src 'self' data: blob:{sockets}"
            await send(message)

        if not serves:
            sentence = f"This app is localhost:{scope['server'][1]}, not {host!r}. Add a name with --host-name."
            await _refuse(421, sentence, scope, receive, send_with_headers)
        elif origin is not None and origin.partition("://")[2] != host:
            sentence = f"This app answers only its own pages, not those of {origin!r}."
            await _refuse(403, sentence, scope, receive, send_with_headers)
        else:
            await self.app(scope, receive, send_with_headers)

    def _serves(self, host: str, scope: Scope) -> bool:
        match = _HOST.fullmatch(host)
        if match is None:
            return False
        name, port = host_of(host), match[2]
        if name in LOOPBACK:
            default = 443 if scope["scheme"] in {"https", "wss"} else 80
            return bool(int(port or default) == scope["server"][1])
        return any(fnmatchcase(name, pattern) for pattern in self.hosts)


class Pages:
    """ASGI middleware that answers the addresses of pages: /samples, but also /samples/x.

    `html` is Streamlit's page, and `names` are our pages. Below /samples, the page of Streamlit would look for its
    server in /samples too, and then wait before it asks at /. So we say where the server is:
    https://github.com/streamlit/streamlit/pull/11537

    An address of several parts, such as /a/b, leads to one of a single part, /a%2Fb. Streamlit answers any address with
    its page. But below /a/ a browser looks for the page's scripts in /a/static, and stays blank. The app can say that
    there is no page 'a/b'.
    """

    def __init__(self, app: App, html: str, names: Collection[str]) -> None:
        self.app = app
        self.page = HTMLResponse(html, headers={"Cache-Control": "no-cache"})
        self.paths = {f"/{name}" for name in names}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer: App = self.app
        if scope["type"] == "http" and scope["method"] == "GET":
            parts = [part for part in scope["raw_path"].decode("latin-1").split("/") if part]
            if scope["path"] in self.paths:
                answer = self.page
            elif len(parts) > 1 and parts[0] not in _OWN_PARTS:
                query = f"?{text}" if (text := scope["query_string"].decode("latin-1")) else ""
                answer = RedirectResponse(f"/{'%2F'.join(parts)}{query}")
        await answer(scope, receive, send)


class UploadLimit:
    """ASGI middleware that bounds the uploads of all visitors together. Streamlit bounds only each file.

    `held` returns the number of files in memory and their bytes. A body of unknown length counts as `max_file` bytes.
    """

    def __init__(
        self,
        app: App,
        held: Callable[[], tuple[int, int]],
        max_file: int,
        max_bytes: int = MAX_UPLOAD_BYTES,
        max_files: int = MAX_UPLOAD_FILES,
    ) -> None:
        self.app = app
        self.held = held
        self.max_file, self.max_bytes, self.max_files = max_file, max_bytes, max_files
        self.arriving: list[int] = []
        """Sizes of the uploads that have not ended yet."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "PUT":
            await self.app(scope, receive, send)
            return
        length = Headers(scope=scope).get("content-length", "")
        size = int(length) if length.isdecimal() else self.max_file
        files, held = self.held()
        if files + len(self.arriving) >= self.max_files or held + sum(self.arriving) + size > self.max_bytes:
            sentence = f"The app holds {files:,} uploaded files ({held:,} bytes), too many for another {size:,} bytes."
            await _refuse(413, sentence, scope, receive, send)
            return
        self.arriving.append(size)
        try:
            await self.app(scope, receive, send)
        finally:
            self.arriving.remove(size)


async def _refuse(status: int, sentence: str, scope: Scope, receive: Receive, send: Send) -> None:
    logging.getLogger(__name__).warning("Refused: %s", sentence)
    if scope["type"] == "websocket":
        # Uvicorn logs an error after a handshake response with a body, so the sentence is only in our log.
        await send({"type": "websocket.close", "code": 1008})
    else:
        await PlainTextResponse(sentence, status)(scope, receive, send)


def _content_policy(inline_scripts: list[str]) -> str:
    """Return the content security policy without connect-src."""
    digests = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in inline_scripts)
    hashes = "".join(f" 'sha256-{digest}'" for digest in digests)
    return "; ".join((
        "default-src 'self'",
        f"script-src 'self' blob:{hashes}",  # Streamlit runs the scripts of our widgets from blobs
        "style-src 'self' 'unsafe-inline'",  # Streamlit styles its elements with inline styles
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "worker-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    ))  # fmt: skip
