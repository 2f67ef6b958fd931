"""The browser app as a process."""

import errno
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import tomllib
import webbrowser
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from core.errors import OptionError
from core.home import Home
from core.jobs import webhook

ROOT = Path(__file__).resolve().parents[2]
HOST = "127.0.0.1"


@dataclass(frozen=True, kw_only=True)
class Place:
    """Address, names and encryption of the app."""

    host: str = HOST
    names: Sequence[str] = ()
    """Public names of this server or of a reverse proxy."""
    tls_cert: Path | None = None
    tls_key: Path | None = None
    behind_proxy: bool = False
    """True if only a proxy with TLS can reach the port."""


def check_port(port: int, host: str = HOST) -> None:
    """Raise OptionError if the port is not available. Call before any long work."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except PermissionError:
            raise OptionError(f"You may not use port {port}; choose one above 1023 with --port.") from None
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL or isinstance(error, socket.gaierror):
                raise OptionError(f"{host} is not an address of this machine.") from None
            raise OptionError(f"Port {port} is in use; choose another with --port (make: PORT=).") from None


def check_place(place: Place) -> Place:
    """Return the place with its names in lower case. Raises OptionError if it would open the app to anyone."""
    from core.web import check_address, check_host_name, is_loopback  # imports Starlette, which no other command needs

    if (place.tls_cert is None) != (place.tls_key is None):
        raise OptionError("Give --tls-cert and --tls-key together.")
    if place.tls_cert and place.tls_key:
        try:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(place.tls_cert, place.tls_key, password="")  # else an encrypted key asks for one
        except OSError as error:
            raise OptionError(
                f"{place.tls_cert} and {place.tls_key} are not a certificate and its key ({error.strerror})."
            ) from error
    if not is_loopback(place.host):
        check_address(place.host, has_login=_has_login())
        if place.tls_cert is None and not place.behind_proxy:
            raise OptionError(
                f"Other machines can reach {place.host}. Give --tls-cert and --tls-key, or --behind-proxy if only a "
                "proxy with TLS reaches this port."
            )
        if not place.names:
            raise OptionError(f"Other machines can reach {place.host}. Give the name that they use, with --host-name.")
    return replace(place, names=[check_host_name(name) for name in place.names])


def serve(port: int, path: str = "/", place: Place | None = None) -> None:
    """Run the app until Ctrl-C, and open a browser if there is a display. Jobs continue after the app stops."""
    from core.web import LOOPBACK, is_loopback

    place = check_place(place or Place())
    webhook.address()
    check_port(port, place.host)
    # The data folder depends on the caller's current directory.
    env = os.environ | {"SLOTLAB_HOME": str(Home.from_env().root)}
    is_here = is_loopback(place.host)
    host = f"[{place.host}]" if ":" in place.host else place.host
    url = f"{'https' if place.tls_cert else 'http'}://{host if is_here else place.names[0]}:{port}{path}"
    print(f"Slotlab is running at {url} (Ctrl-C stops the app, not the runs).", flush=True)
    if is_here and _has_display():
        threading.Thread(target=_open_browser, args=(place.host, port, url), daemon=True).start()
    command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.headless=true"]
    command += [f"--server.port={port}", f"--server.address={place.host}"]
    command += [f"--server.allowedHosts={name}" for name in (*LOOPBACK, *place.names)]
    if place.tls_cert and place.tls_key:
        command += [
            f"--server.sslCertFile={place.tls_cert.absolute()}",
            f"--server.sslKeyFile={place.tls_key.absolute()}",
        ]
    command += [f"--secrets.files={file}" for file in _secrets()]
    # Streamlit reads .streamlit/config.toml from its current directory.
    server = subprocess.Popen(command, cwd=ROOT, env=env)
    # Forward SIGTERM, or the server keeps running and holding the port.
    signal.signal(signal.SIGTERM, lambda *_: server.terminate())
    try:
        code = server.wait()
    except KeyboardInterrupt:
        server.terminate()
        code = 0
        with suppress(subprocess.TimeoutExpired):
            server.wait(timeout=10)
    finally:
        server.kill()
    if code > 0:
        raise OptionError(f"The app exited with code {code}.")


def _secrets() -> list[Path]:
    """Return the files of secrets, or none if the environment names them.

    Streamlit looks for secrets where the app starts. An installed app starts in its package, so we add its own.
    """
    if "STREAMLIT_SECRETS_FILES" in os.environ:
        return []
    return [folder / ".streamlit" / "secrets.toml" for folder in dict.fromkeys([Path.home(), ROOT, Path.cwd()])]


def _has_login() -> bool:
    """Return whether a login is configured. The app checks again, with the files that the environment names."""
    for file in _secrets():
        with suppress(OSError, ValueError):  # there is none, or it is not TOML: then nobody gets in
            if "auth" in tomllib.loads(file.read_text(encoding="utf-8")):
                return True
    return "STREAMLIT_SECRETS_FILES" in os.environ


def _has_display() -> bool:
    return sys.platform in ("darwin", "win32") or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))


def _open_browser(host: str, port: int, url: str) -> None:
    for _ in range(100):
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            if probe.connect_ex((host, port)) == 0:
                webbrowser.open(url)
                return
        time.sleep(0.2)
