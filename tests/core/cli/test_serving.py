"""The app as a process: its port and its exit."""

import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from core.cli.serving import HOST, Place, check_place, check_port
from core.errors import OptionError
from core.home import Home
from tests.helpers.certificate import make_certificate
from tests.helpers.command_line import command_here, refused
from tests.helpers.lab import is_healthy
from tests.helpers.repository import ROOT
from tests.helpers.waiting import wait_until

NAME = "lab.example.org"

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


# Other addresses


def test_another_address_has_its_conditions(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A login, then TLS or a proxy, then a name. All three let it open."""
    monkeypatch.setenv("HOME", str(tmp_path))
    certificate, key = make_certificate(tmp_path)
    with pytest.raises(OptionError, match=r"Other machines can reach 0\.0\.0\.0, and this app has no login"):
        check_place(Place(host="0.0.0.0", names=[NAME], behind_proxy=True))
    (tmp_path / ".streamlit").mkdir()
    (tmp_path / ".streamlit" / "secrets.toml").write_text("[auth]\n")
    with pytest.raises(OptionError, match="Give --tls-cert and --tls-key, or --behind-proxy if only a proxy"):
        check_place(Place(host="0.0.0.0", names=[NAME]))
    with pytest.raises(OptionError, match="Give the name that they use, with --host-name"):
        check_place(Place(host="0.0.0.0", behind_proxy=True))

    for host in ("0.0.0.0", "::", "192.0.2.1"):
        assert check_place(Place(host=host, names=[NAME.upper()], behind_proxy=True)).names == [NAME]
        assert check_place(Place(host=host, names=[NAME], tls_cert=certificate, tls_key=key)).names == [NAME]


@pytest.mark.parametrize("text", ["not TOML", "[other]\n", ""])
def test_secrets_without_a_login_open_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Damaged secrets count as none."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".streamlit").mkdir()
    (tmp_path / ".streamlit" / "secrets.toml").write_text(text)

    with pytest.raises(OptionError, match="this app has no login"):
        check_place(Place(host="::", names=[NAME], behind_proxy=True))


def test_a_certificate_needs_its_key(tmp_path: Path) -> None:
    """Also a readable one. A key of another certificate is refused."""
    certificate, key = make_certificate(tmp_path)
    (tmp_path / "other").mkdir()
    _, other = make_certificate(tmp_path / "other")

    assert check_place(Place(tls_cert=certificate, tls_key=key)).tls_key == key
    with pytest.raises(OptionError, match="Give --tls-cert and --tls-key together"):
        check_place(Place(tls_cert=certificate))
    with pytest.raises(OptionError, match=r"missing\.pem are not a certificate and its key \(No such file"):
        check_place(Place(tls_cert=certificate, tls_key=tmp_path / "missing.pem"))
    with pytest.raises(OptionError, match="are not a certificate and its key"):
        check_place(Place(tls_cert=certificate, tls_key=other))


def test_an_address_of_another_machine_is_refused(
    home: Home, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One sentence. It looks like a port in use to the system."""
    with pytest.raises(OptionError, match=r"192\.0\.2\.1 is not an address of this machine"):
        check_port(8501, "192.0.2.1")

    monkeypatch.setenv("HOME", str(home.root))
    done = command_here(home.root, capsys, monkeypatch, "app", "--host", "192.0.2.1", "--host-name", NAME)
    refused(done, "slotlab: Other machines can reach 192.0.2.1, and this app has no login")


@pytest.mark.long
def test_the_app_answers_under_its_name_with_tls(port: int, tmp_path: Path) -> None:
    """It listens on all addresses, with a login. Plain http gets no answer, and another name is refused."""
    certificate, _ = make_certificate(tmp_path, NAME)
    (tmp_path / ".streamlit").mkdir()
    (tmp_path / ".streamlit" / "secrets.toml").write_text("[auth]\n")
    command = [sys.executable, "-m", "core.cli", "app", "--port", str(port), "--host", "0.0.0.0", "--host-name", NAME]
    process = subprocess.Popen(
        [*command, "--tls-cert", "cert.pem", "--tls-key", "key.pem"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "HOME": str(tmp_path)},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    context = ssl.create_default_context(cafile=str(certificate))

    def status(host: str) -> int:
        """Return the status of the health check under a name; 0 without a server."""
        try:
            with (
                socket.create_connection((HOST, port), timeout=5) as plain,
                context.wrap_socket(plain, server_hostname=NAME) as connection,
            ):
                connection.sendall(f"GET /_stcore/health HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
                return int(connection.recv(100).split()[1])
        except OSError:
            return 0

    try:
        wait_until(lambda: status(f"{NAME}:{port}") == 200)
        assert status("other.example.org") == 421
        assert not is_healthy(f"http://{HOST}:{port}")
    finally:
        process.terminate()
        out, _ = process.communicate(timeout=60)
    assert f"Slotlab is running at https://{NAME}:{port}/" in out
