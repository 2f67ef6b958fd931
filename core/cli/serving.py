"""Starting the browser app."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import webbrowser
from contextlib import suppress
from pathlib import Path

from core.errors import OptionError

ROOT = Path(__file__).resolve().parents[2]
HOST = "127.0.0.1"


def check_port(port: int) -> None:
    """Raise OptionError when something listens there already, before any long work."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except PermissionError:
            raise OptionError(f"Port {port} may not be used by this user; name one above 1023 with --port.") from None
        except OSError:
            raise OptionError(f"Port {port} is in use; name another with --port (make: PORT=).") from None


def serve(port: int, path: str = "/") -> None:
    """Run the app until Ctrl-C, and open a browser where there is a display. Its end stops no job."""
    check_port(port)
    url = f"http://{HOST}:{port}{path}"
    print(f"Slotlab is at {url} (Ctrl-C ends the app, not the runs).", flush=True)
    if _has_display():
        threading.Thread(target=_open_browser, args=(port, url), daemon=True).start()
    command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.headless=true"]
    command += [f"--server.port={port}", f"--server.address={HOST}"]
    # Streamlit reads .streamlit/config.toml from the current directory; data stay where the caller stands.
    home = os.environ.get("SLOTLAB_HOME") or "slotlab-data"
    env = os.environ | {"SLOTLAB_HOME": str(Path(home).expanduser().resolve())}
    server = subprocess.Popen(command, cwd=ROOT, env=env)
    # Told to end, the server has to end too: it would go on holding the port and answering.
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
        raise OptionError(f"The app ended with code {code}.")


def _has_display() -> bool:
    return sys.platform in ("darwin", "win32") or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))


def _open_browser(port: int, url: str) -> None:
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex((HOST, port)) == 0:
                webbrowser.open(url)
                return
        time.sleep(0.2)
