"""The recipes of docs/operating.md: nginx and Caddy with TLS in front of `slotlab app`.

They need the packages nginx and caddy of the system. Without them, these tests are skipped.
"""

import http.client
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin

from tests.helpers.certificate import make_certificate
from tests.helpers.lab import free_port, is_healthy
from tests.helpers.repository import ROOT
from tests.helpers.waiting import wait_until

pytestmark = pytest.mark.long

NAME = "slotlab.example.org"
"""Name in the recipes."""
RECIPES = (ROOT / "docs" / "operating.md").read_text(encoding="utf-8")


def recipe(language: str) -> str:
    """Return the first block in a language that has the name."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```", RECIPES, re.MULTILINE | re.DOTALL)
    return next(block for block in blocks if NAME in block and "8501" in block)


def nginx(folder: Path, app: int, port: int, certificate: Path, key: Path) -> list[str]:
    """Write the recipe with our ports and certificate. Return the command."""
    server = (
        recipe("nginx").replace("127.0.0.1:8501", f"127.0.0.1:{app}").replace("listen 443", f"listen 127.0.0.1:{port}")
    )
    server = re.sub(r"(ssl_certificate +)\S+;", rf"\g<1>{certificate};", server)
    server = re.sub(r"(ssl_certificate_key +)\S+;", rf"\g<1>{key};", server)
    places = "".join(
        f"{name}_temp_path {folder / name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"user {'root' if os.geteuid() == 0 else 'nobody'}; daemon off; pid {folder / 'pid'}; error_log stderr;\n"
        f"events {{}}\nhttp {{ access_log off; {places}\n{server} }}\n"
    )
    return ["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", "stderr"]


def caddy(folder: Path, app: int, port: int, certificate: Path, key: Path) -> list[str]:
    """Write the recipe with our ports, and our certificate instead of one that Caddy fetches. Return the command."""
    site = recipe("text").replace("127.0.0.1:8501", f"127.0.0.1:{app}")
    site = site.replace(f"{NAME} {{", f"{NAME}:{port} {{\n\tbind 127.0.0.1\n\ttls {certificate} {key}")
    (folder / "Caddyfile").write_text(f"{{\n\tadmin off\n\tauto_https disable_redirects\n}}\n{site}")
    return ["caddy", "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]


PROXIES = {"nginx": nginx, "caddy": caddy}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """`slotlab app` for the name of the recipes. Yields its port."""
    port, folder = free_port(), tmp_path_factory.mktemp("app")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "core.cli", "app", "--port", str(port), "--host-name", NAME],
            cwd=ROOT,
            env=os.environ | {"SLOTLAB_HOME": str(folder / "home"), "PYTHONPATH": str(ROOT)},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    wait_until(lambda: is_healthy(f"http://127.0.0.1:{port}"))
    yield port
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.fixture(params=PROXIES)
def proxy(request: pytest.FixtureRequest, app: int, tmp_path: Path) -> Iterator[tuple[int, ssl.SSLContext]]:
    """The recipe in front of the app. Yields its port, and what trusts its certificate."""
    if shutil.which(request.param) is None:
        pytest.skip(f"There is no {request.param} on this machine.")
    port, (certificate, key) = free_port(), make_certificate(tmp_path, NAME)
    command = PROXIES[request.param](tmp_path, app, port, certificate, key)
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=tmp_path, env=os.environ | {"HOME": str(tmp_path)}, stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip

    def listens() -> bool:
        assert process.poll() is None, (tmp_path / "log").read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    try:
        wait_until(listens)
        yield port, ssl.create_default_context(cafile=str(certificate))
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def get(port: int, context: ssl.SSLContext, path: str, **headers: str) -> http.client.HTTPResponse:
    """Return the answer to a request under the name, whose address is this machine's."""
    connection = http.client.HTTPSConnection(NAME, port, context=context, timeout=30)
    connection.sock = context.wrap_socket(socket.create_connection(("127.0.0.1", port)), server_hostname=NAME)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    answer.read()
    return answer


def test_the_app_answers_behind_the_proxy(proxy: tuple[int, ssl.SSLContext]) -> None:
    """The page and the health check, with the security headers of the app. Another origin is refused."""
    port, context = proxy

    assert get(port, context, "/_stcore/health").status == 200
    page = get(port, context, "/train")
    assert page.status == 200
    assert page.headers["X-Frame-Options"] == "DENY"
    assert f"wss://{NAME}:{port}" in page.headers["Content-Security-Policy"]
    assert get(port, context, "/", Origin="https://evil.example").status == 403


def test_the_page_keeps_its_websocket(proxy: tuple[int, ssl.SSLContext]) -> None:
    """The proxy passes the upgrade, `Host` and the origin. A page of another site gets no socket."""
    port, context = proxy
    address = f"wss://{NAME}:{port}/_stcore/stream"

    def opened(origin: str) -> bool:
        plain = socket.create_connection(("127.0.0.1", port))
        with connect(address, sock=plain, ssl=context, server_hostname=NAME, origin=Origin(origin)) as stream:
            return stream.ping().wait(30)

    assert opened(f"https://{NAME}:{port}")
    with pytest.raises(InvalidStatus, match="403"):
        opened("https://evil.example")
