"""The app as a process: its port, and its end."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from core.cli.serving import HOST, check_port
from core.errors import OptionError
from tests.helpers.repository import ROOT

SERVE = (
    "import sys; from core.cli.commands import app, main; sys.argv = ['slotlab', 'app', '--port', sys.argv[1]]; main()"
)


@pytest.fixture
def port() -> int:
    """One that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize("address", [HOST, "0.0.0.0"])
def test_a_port_in_use_is_refused_before_any_work(address: str) -> None:
    """Whether it is taken on this address or on all; it is free again once the other has ended."""
    with socket.socket() as other:
        other.bind((address, 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(OptionError, match=f"Port {port} is in use; name another with --port"):
            check_port(port)

    check_port(port)


@pytest.fixture
def server(port: int, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """`slotlab app`, started elsewhere and answering."""
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
    while not _answers(port):
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.05)
    yield process
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://{HOST}:{port}/_stcore/health", timeout=5) as answer:
            return bool(answer.read() == b"ok")
    except OSError:
        return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_app_ends_when_it_is_told_to(server: subprocess.Popen[str], port: int, number: signal.Signals) -> None:
    """The server it has started ends with it, without an error, also where only the command itself gets the signal."""
    server.send_signal(number)
    out, errors = server.communicate(timeout=60)

    assert server.returncode == 0, errors
    assert f"Slotlab is at http://{HOST}:{port}/" in out
    assert "Traceback" not in errors
    check_port(port)
    assert not _answers(port)
