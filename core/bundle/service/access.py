"""Access to the service: addresses, tokens, and no website through the browser of this machine."""

import hashlib
import os
import re
import secrets
from pathlib import Path

from fastapi import Request

from core.bundle.service.refusal import RefusalError
from core.errors import OptionError, StorageError
from core.files import read_small, shortened
from core.web import LOOPBACK, host_of, is_loopback

NAME = re.compile(r"[\w.-]{1,64}")
LINE = re.compile(rf"({NAME.pattern}) ([0-9a-f]{{64}})")


def check_exposure(host: str, *, has_tokens: bool, has_tls: bool, behind_proxy: bool) -> None:
    """Raise OptionError if other machines could use a service without a token, or overhear one."""
    if not (is_loopback(host) or behind_proxy or (has_tokens and has_tls)):
        raise OptionError(
            f"Other machines can reach {host or 'all addresses'}. Give --token-file, --tls-cert and --tls-key, "
            "or --behind-proxy if only a proxy with TLS and a login can reach this port."
        )


class Tokens:
    """The clients of a file with lines `NAME SHA256`. A change of the file takes effect at the next request.

    Raises OptionError or StorageError if the file cannot be used at the start. Later, nobody gets in.
    """

    def __init__(self, path: Path) -> None:
        self._path = path.absolute()
        self._seen = self._stamp()
        self._names = _read(self._path)

    def name_of(self, token: str) -> str | None:
        """Return the name of the client with this token."""
        if (stamp := self._stamp()) != self._seen:
            try:
                self._names = _read(self._path)
            except (OptionError, StorageError):
                self._names = {}
            self._seen = stamp
        given, found = _sha256(token), None
        for sha256, name in self._names.items():
            if secrets.compare_digest(sha256, given):
                found = name
        return found

    def _stamp(self) -> tuple[int, ...]:
        try:
            now = self._path.stat()
        except OSError:
            return ()
        return now.st_mtime_ns, now.st_size, now.st_ino


def new_token(path: Path, name: str) -> str:
    """Add a client to the file, which stores only the hash. Return the token. Raises OptionError or StorageError."""
    if not NAME.fullmatch(name):
        raise OptionError(f"{shortened(name)!r} is not a name. Use up to 64 letters, digits, dots, dashes and _.")
    text = _text(path) if path.exists() else ""
    if name in _names(path, text).values():
        raise OptionError(f"{shortened(str(path))} has a token of {name}. Delete its line first.")
    token = secrets.token_urlsafe(32)
    start = "" if not text or text.endswith("\n") else "\n"
    try:
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK, 0o600)
        with os.fdopen(file, "wb") as lines:
            lines.write(f"{start}{name} {_sha256(token)}\n".encode())
    except OSError as error:
        raise StorageError(f"{shortened(str(path))} cannot be written ({error.strerror}).") from error
    return token


def _read(path: Path) -> dict[str, str]:
    """Return each client's name by the hash of its token."""
    names = _names(path, _text(path))
    if not names:
        raise OptionError(f"{shortened(str(path))} has no token. Add one with --new-token NAME.")
    return names


def _text(path: Path) -> str:
    try:
        return read_small(path).decode("utf-8", "replace")
    except OSError as error:
        raise StorageError(f"{shortened(str(path))} cannot be read ({error.strerror}).") from error


def _names(path: Path, text: str) -> dict[str, str]:
    names = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        match = LINE.fullmatch(line.strip())
        if match is None:
            raise OptionError(f"Line {number} of {shortened(str(path))} is not a name and a SHA-256.")
        names[match[2]] = match[1]
    return names


def _sha256(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


class Guard:
    """The checks of every request. Without tokens, only programs of this machine or of the proxy get in."""

    def __init__(self, tokens: Tokens | None, *, behind_proxy: bool) -> None:
        self._tokens, self._behind_proxy = tokens, behind_proxy

    async def check(self, request: Request) -> None:
        """Raise RefusalError for a request that a website sends through a browser of this machine."""
        if self._tokens is not None or self._behind_proxy:
            return
        host, origin = request.headers.get("host", ""), request.headers.get("origin")
        if host_of(host) not in LOOPBACK:
            raise RefusalError(421, f"This service is {LOOPBACK[0]}, not {shortened(host)!r}.")
        if origin is not None and origin.partition("://")[2] != host:
            raise RefusalError(403, f"Pages of {shortened(origin)!r} may not use this service.")

    async def client(self, request: Request) -> str | None:
        """Return the name of the client, or None without tokens. Raises RefusalError for a wrong token."""
        if self._tokens is None:
            return None
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        name = self._tokens.name_of(token.strip()) if scheme.lower() == "bearer" else None
        if name is None:
            sentence = "The token is missing or wrong. Send it as `Authorization: Bearer TOKEN`."
            raise RefusalError(401, sentence, {"WWW-Authenticate": "Bearer"})
        return name
