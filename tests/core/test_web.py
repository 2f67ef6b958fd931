"""Hosts, origins, headers and uploads, over real connections to a real app."""

import asyncio
import base64
import hashlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from core.errors import OptionError
from core.web import UploadLimit, check_address, check_host_name
from tests.helpers.aside import aside
from tests.helpers.lab import Lab, free_port, is_healthy
from tests.helpers.outside import Recorder
from tests.helpers.repository import ROOT
from tests.helpers.waiting import wait_until

PUBLIC = "lab.example.org"
ROUTES = (
    "/", "/samples", "/_stcore/health", "/_stcore/host-config", "/_stcore/metrics", "/_stcore/agent/openapi.json",
    "/media/0.png", "/component/x", "/_stcore/bidi-components/x/y", "/static/x.js", "/oauth2callback", "/nothing",
)  # fmt: skip
SECURITY = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Lab, Recorder]]:
    """`slotlab app` behind a proxy of the name PUBLIC. Its lookups are recorded."""
    folder = tmp_path_factory.mktemp("web")
    recorder = Recorder(folder)
    lab = Lab(folder / "home")
    command = [sys.executable, "-m", "core.cli", "app", "--port", str(lab.port), "--host-name", PUBLIC]
    env = {name: value for name, value in os.environ.items() if name != "DISPLAY"}
    with lab.log.open("wb") as log:
        lab.process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=env | {"SLOTLAB_HOME": str(lab.home.root)} | recorder.env,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    wait_until(lambda: is_healthy(lab.url), seconds=60)
    yield lab, recorder
    lab.kill(signal.SIGTERM)
    assert recorder.path.exists()
    assert recorder.outside() == []
    assert "Traceback" not in lab.log.read_text()


def request(lab: Lab, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], str]:
    """Return status, headers and body. Underscores in the names of headers stand for hyphens."""
    connection = http.client.HTTPConnection("127.0.0.1", lab.port, timeout=30)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, headers=named)
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, body


def handshake(lab: Lab, host: str, origin: str | None) -> int:
    """Return the status of the answer to a WebSocket handshake."""
    lines = [
        "GET /_stcore/stream HTTP/1.1", f"Host: {host}", "Upgrade: websocket", "Connection: Upgrade",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13",
        *([] if origin is None else [f"Origin: {origin}"]),
    ]  # fmt: skip
    with socket.create_connection(("127.0.0.1", lab.port), timeout=30) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        return int(connection.recv(100).split()[1])


@pytest.mark.parametrize(
    "host", ["evil.example:{port}", "evil.example", "localhost:1", "localhost", "127.0.0.1.evil.example:{port}",
             "x@localhost:{port}", "192.0.2.1:{port}", f"{PUBLIC}.evil.example"]
)  # fmt: skip
def test_no_route_answers_under_a_foreign_host(server: tuple[Lab, Recorder], host: str) -> None:
    lab, _ = server
    host = host.format(port=lab.port)
    statuses = {path: request(lab, path, Host=host)[0] for path in ROUTES}
    statuses["upload"] = request(lab, "/_stcore/upload_file/session/file", "PUT", Host=host)[0]

    assert set(statuses.values()) == {421}, statuses
    assert handshake(lab, host, f"http://{host}") == 403
    assert request(lab, "/", Host=host)[2] == (
        f"This app is localhost:{lab.port}, not {host!r}. Add a name with --host-name."
    )


@pytest.mark.parametrize("host", ["127.0.0.1:{port}", "localhost:{port}", "[::1]:{port}", PUBLIC, f"{PUBLIC}:8443"])
def test_own_names_are_answered(server: tuple[Lab, Recorder], host: str) -> None:
    """A public name is answered with any port, because the proxy chooses it."""
    lab, _ = server
    host = host.format(port=lab.port)

    assert request(lab, "/", Host=host)[0] == 200
    assert handshake(lab, host, f"https://{host}") == 101
    assert handshake(lab, host, None) == 101


def test_an_address_of_several_parts_leads_to_one_part(server: tuple[Lab, Recorder]) -> None:
    """A browser would look for the page's scripts below the first part. Another host is never the target."""
    lab, _ = server
    asked = ("/a/b?x=1", "/samples/x/", "//evil.example/b", "/caf%C3%A9/b")
    answers = [request(lab, path) for path in asked]

    assert [status for status, _, _ in answers] == [307] * 4
    assert [headers["location"] for _, headers, _ in answers] == [
        "/a%2Fb?x=1", "/samples%2Fx", "/evil.example%2Fb", "/caf%C3%A9%2Fb",
    ]  # fmt: skip
    for path in (*ROUTES, "/media/a/b.png", "/auth/login"):
        assert "%2F" not in request(lab, path)[1].get("location", ""), path


def test_a_page_says_where_its_server_is(server: tuple[Lab, Recorder]) -> None:
    """Each page does, with a script that the policy allows. Nothing else is answered with the page."""
    lab, _ = server
    names = {page.stem for page in (ROOT / "pages").glob("*.py")}
    for name in names:
        status, headers, body = request(lab, f"/{name}?project=a")
        (script,) = re.findall(r"<script>(window\.__streamlit = .*?)</script>", body)
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert status == 200
        assert headers["cache-control"] == "no-cache"
        assert f"'sha256-{digest}'" in headers["content-security-policy"]
    for path in set(ROUTES) - {"/samples"}:
        assert "window.__streamlit" not in request(lab, path)[2], path


@pytest.mark.parametrize(
    "origin", ["http://127.0.0.1:1", "http://localhost:{port}", "http://evil.example", "null", "file://", ""]
)
def test_only_its_own_pages_reach_the_app(server: tuple[Lab, Recorder], origin: str) -> None:
    """Another name of this machine is another origin too. The server asks nobody for its own address."""
    lab, _ = server
    origin = origin.format(port=lab.port)

    assert handshake(lab, f"127.0.0.1:{lab.port}", origin) == 403
    assert request(lab, "/_stcore/host-config", Origin=origin)[0] == 403
    assert request(lab, "/_stcore/upload_file/session/file", "PUT", Origin=origin)[0] == 403


def test_every_response_has_the_headers(server: tuple[Lab, Recorder]) -> None:
    """Refusals too. Scripts, connections and images come from the app only, and no page may frame it."""
    lab, _ = server
    answers = [request(lab, path) for path in ROUTES] + [request(lab, "/", Host="evil.example")]

    for _, headers, _ in answers:
        assert {name: headers.get(name) for name in SECURITY} == SECURITY
        policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
        assert policy["default-src"] == "'self'"
        assert policy["frame-ancestors"] == policy["object-src"] == "'none'"
        assert policy["img-src"] == "'self' data: blob:"
        assert "unsafe" not in policy["script-src"]
        assert {part for part in policy["connect-src"].split() if "://" in part} <= {
            f"ws://127.0.0.1:{lab.port}", f"wss://127.0.0.1:{lab.port}"
        }  # fmt: skip
        assert "access-control-allow-origin" not in headers


def test_what_streamlit_could_open_is_closed(server: tuple[Lab, Recorder]) -> None:
    """No files of a static folder, no agent interface, and no upload without the token of the page."""
    lab, _ = server
    agent = json.loads(request(lab, "/_stcore/agent/openapi.json")[2])

    assert "<title>Streamlit</title>" in request(lab, "/app/static/config.toml")[2]  # the page, not a file
    assert request(lab, "/_stcore/agent/interact", "POST")[0] in {403, 404}, agent
    assert request(lab, "/_stcore/upload_file/session/file", "PUT")[0] == 403


@pytest.mark.parametrize("name", ["https://lab.example.org", "lab.example.org:443", "lab.example.org/", "", "*", "a b"])
def test_a_host_name_is_a_name(name: str) -> None:
    with pytest.raises(OptionError, match=r"is not a host name\. Use the name without scheme and port"):
        check_host_name(name)


def test_a_host_name_may_be_a_wildcard() -> None:
    assert check_host_name("*.Example.org") == "*.example.org"


@pytest.mark.parametrize("address", [None, "0.0.0.0", "::", "192.168.1.2", "lab.example.org"])
def test_other_machines_need_a_login(address: str | None) -> None:
    with pytest.raises(OptionError, match=r"Other machines can reach .*, and this app has no login"):
        check_address(address, has_login=False)
    check_address(address, has_login=True)


@pytest.mark.parametrize("address", ["127.0.0.1", "localhost", "::1", "127.0.0.2"])
def test_this_machine_needs_no_login(address: str) -> None:
    check_address(address, has_login=False)


def test_streamlit_itself_does_not_open_an_app_without_login(tmp_path_factory: pytest.TempPathFactory) -> None:
    """One sentence and exit code 1. It asks nobody for the address of this machine."""
    folder = tmp_path_factory.mktemp("open")
    recorder = Recorder(folder)
    command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.address", "0.0.0.0"]
    done = subprocess.run(
        [*command, "--server.port", str(free_port())],
        cwd=ROOT,
        env=os.environ | recorder.env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 1
    assert done.stderr.startswith("slotlab: Other machines can reach 0.0.0.0, and this app has no login: ")
    assert "Traceback" not in done.stderr
    assert recorder.outside() == []


def put(limit: UploadLimit, length: int | None = None) -> int:
    """Return the status of an upload."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    headers = [] if length is None else [(b"content-length", str(length).encode())]
    aside(lambda: asyncio.run(limit({"type": "http", "method": "PUT", "headers": headers}, receive, send)))
    return int(sent[0]["status"])


def test_uploads_are_bounded_together() -> None:
    """By bytes, by number, and with those that are still arriving. A body of unknown length counts as the largest."""
    held = [(2, 60)]
    arriving: list[int] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        arriving[:] = limit.arriving
        await send({"type": "http.response.start", "status": 204, "headers": []})

    limit = UploadLimit(app, lambda: held[0], max_file=40, max_bytes=100, max_files=3)

    assert put(limit, 40) == 204
    assert arriving == [40]
    assert limit.arriving == []
    assert put(limit, 41) == 413
    assert put(limit) == 204
    limit.arriving = [10]
    assert put(limit, 5) == 413  # the third file is arriving
    limit.arriving = []
    held[0] = (2, 61)
    assert put(limit) == 413
    held[0] = (3, 0)
    assert put(limit, 1) == 413
