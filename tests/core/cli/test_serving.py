"""The app as a process: its port and its exit."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from core.cli.serving import HOST, check_port
from core.errors import OptionError
from tests.helpers.lab import is_healthy
from tests.helpers.repository import ROOT

SERVE = (
    "import sys; from core.cli.commands import app, main; sys.argv = ['slotlab', 'app', '--port', sys.argv[1]]; main()"
)


@pytest.fixture
def port() -> int:
    """Return a port that was just free."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize("address", [HOST, "0.0.0.0"])
def test_a_port_in_use_is_refused_before_any_work(address: str) -> None:
    """The port may be in use on this address or on all. It is available when the other process ends."""
    with socket.socket() as other:
        other.bind((address, 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(OptionError, match=f"Port {port} is in use; choose another with --port"):
            check_port(port)

    check_port(port)


@pytest.fixture
def server(port: int, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Start `slotlab app` in another folder and wait until it answers."""
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, str(port)],
        cwd=tmp_path,
        env={key: value for key, value in os.environ.items() if key not in {"SLOTLAB_HOME", "DISPLAY"}}
        | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - a background job ignores it
    )
    end = time.monotonic() + 60
    while not is_healthy(f"http://{HOST}:{port}"):
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.05)
    yield process
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_app_ends_on_a_signal(server: subprocess.Popen[str], port: int, number: signal.Signals) -> None:
    """The server exits too, without an error, even if only the command gets the signal."""
    server.send_signal(number)
    out, errors = server.communicate(timeout=60)

    assert server.returncode == 0, errors
    assert f"Slotlab is running at http://{HOST}:{port}/" in out
    assert "Traceback" not in errors
    check_port(port)
    assert not is_healthy(f"http://{HOST}:{port}")
