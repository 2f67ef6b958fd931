"""The browser app as a process."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import webbrowser
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from core.errors import OptionError
from core.home import Home
from core.jobs import webhook

ROOT = Path(__file__).resolve().parents[2]
HOST = "127.0.0.1"


def check_port(port: int) -> None:
    """Raise OptionError if the port is not available. Call before any long work."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except PermissionError:
            raise OptionError(f"You may not use port {port}; choose one above 1023 with --port.") from None
        except OSError:
            raise OptionError(f"Port {port} is in use; choose another with --port (make: PORT=).") from None


def serve(port: int, path: str = "/", hosts: Sequence[str] = ()) -> None:
    """Run the app until Ctrl-C, and open a browser if there is a display. Jobs continue after the app stops.

    `hosts` are the public names of a reverse proxy.
    """
    from core.web import LOOPBACK, check_host_name  # imports Starlette, which no other command needs

    names = [check_host_name(host) for host in hosts]
    webhook.address()
    check_port(port)
    # The data folder depends on the caller's current directory.
    env = os.environ | {"SLOTLAB_HOME": str(Home.from_env().root)}
    url = f"http://{HOST}:{port}{path}"
    print(f"Slotlab is running at {url} (Ctrl-C stops the app, not the runs).", flush=True)
    if _has_display():
        threading.Thread(target=_open_browser, args=(port, url), daemon=True).start()
    command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.headless=true"]
    command += [f"--server.port={port}", f"--server.address={HOST}"]
    command += [f"--server.allowedHosts={name}" for name in (*LOOPBACK, *names)]
    # Streamlit looks for secrets where the app starts. An installed app starts in its package, so we add its own.
    if "STREAMLIT_SECRETS_FILES" not in os.environ:
        folders = dict.fromkeys([Path.home(), ROOT, Path.cwd()])
        command += [f"--secrets.files={folder / '.streamlit' / 'secrets.toml'}" for folder in folders]
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


def _has_display() -> bool:
    return sys.platform in ("darwin", "win32") or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))


def _open_browser(port: int, url: str) -> None:
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex((HOST, port)) == 0:
                webbrowser.open(url)
                return
        time.sleep(0.2)
