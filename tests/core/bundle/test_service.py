"""`slotlab api` as its clients meet it: a real process on loopback, good and bad requests, overload, and signals."""

import json
import re
import signal
import socket
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from core.bundle.reader import MAX_BYTES, load, pixel_hash, pixels_of
from core.bundle.service.access import new_token
from core.images.pixels import encode_png
from tests.helpers import toy
from tests.helpers.bad_images import GOOD_TEXT, bad_images, good_images, png_header
from tests.helpers.certificate import make_certificate
from tests.helpers.pictures import encoded
from tests.helpers.repository import ROOT
from tests.helpers.service import HOST, PNG, Service, load_of, serving
from tests.helpers.waiting import wait_until

GOOD = encode_png(toy.draw("x-", np.random.default_rng(3)))
FORM = {"Content-Type": "multipart/form-data; boundary=line"}


def form(*parts: bytes, end: bytes = b"--line--\r\n") -> bytes:
    head = b'--line\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n'
    return b"".join(head + part + b"\r\n" for part in parts) + end


@pytest.fixture(scope="module")
def service(toy_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service without tokens, with an audit log."""
    with serving(toy_bundle, "--audit-log", tmp_path_factory.mktemp("audit") / "audit.jsonl") as made:
        yield made


def audit_of(service: Service) -> list[dict[str, Any]]:
    (path,) = [part for part in service.process.args if str(part).endswith("audit.jsonl")]  # type: ignore[union-attr]
    return [json.loads(line) for line in Path(str(path)).read_text().splitlines()]


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (GOOD, PNG),
        (GOOD, {}),
        (GOOD, {"Content-Type": "application/octet-stream"}),
        (form(GOOD), FORM),
        (encoded(Image.fromarray(pixels_of(GOOD)).convert("CMYK"), "JPEG", quality=100), PNG),
    ],
    ids=["image", "no type", "bytes", "form", "CMYK"],
)
def test_an_image_is_read_as_the_reader_reads_it(
    service: Service, toy_bundle: Path, body: bytes, headers: dict[str, str]
) -> None:
    """The answer is the object of `slotlab predict --json` without the file, however the image is sent.

    Without a log, its id is null.
    """
    image = body if headers is not FORM else GOOD
    expected = load(toy_bundle).read(image).to_dict()

    status, _, answer = service.read(body, headers)

    found = json.loads(answer)
    assert status == 200
    assert list(found) == ["text", "confidence", "accepted", "unfamiliar", "positions", "id"]
    assert found.pop("id") is None
    assert found | {"confidence": 0, "positions": 0} == expected | {"confidence": 0, "positions": 0}
    assert found["confidence"] == pytest.approx(expected["confidence"], abs=1e-5)
    assert [each["char"] for each in found["positions"]] == [each["char"] for each in expected["positions"]]


def _text_bomb() -> bytes:
    info = PngImagePlugin.PngInfo()
    info.add_text("bomb", "x" * 200_000_000, zip=True)
    return encoded(Image.new("RGB", (64, 32)), "PNG", pnginfo=info)


BAD: dict[str, tuple[int, bytes, dict[str, str]]] = {
    "empty": (400, b"", PNG),
    "cut": (422, GOOD[: len(GOOD) // 2], PNG),
    "cut JPEG": (422, encoded(Image.new("RGB", (64, 32)), "JPEG")[:-40], PNG),
    "text": (415, b"hello", PNG),
    "giant": (422, png_header(100_000, 100_000), PNG),
    "tiny": (422, encode_png(np.zeros((4, 16, 3), dtype=np.uint8)), PNG),
    "text chunk": (422, _text_bomb(), PNG),
    "too many bytes": (413, bytes(MAX_BYTES + 1), PNG),
    "JSON": (415, b"{}", {"Content-Type": "application/json"}),
    "as curl sends it": (415, GOOD, {"Content-Type": "application/x-www-form-urlencoded"}),
    "form without boundary": (400, form(GOOD), {"Content-Type": "multipart/form-data"}),
    "form without part": (400, form(), FORM),
    "form with an empty part": (400, form(b""), FORM),
    "form with two parts": (400, form(GOOD, GOOD), FORM),
    "form without end": (400, form(GOOD, end=b""), FORM),
    "no form": (400, GOOD, FORM),
    "form with a text": (415, form(b"hello"), FORM),
    "form with too many bytes": (413, form(bytes(MAX_BYTES + 1)), FORM),
    "foreign host": (421, GOOD, PNG | {"Host": "portal.example.org"}),
    "page of another website": (403, GOOD, PNG | {"Origin": "https://portal.example.org"}),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_request_gets_a_status_and_one_sentence(service: Service, name: str) -> None:
    """The service answers the next one. The audit log has the status and nothing of the body."""
    status, body, headers = BAD[name]

    found, answered, answer = service.read(body, headers)

    problem = json.loads(answer)
    assert found == status, problem
    assert list(problem) == ["error"]
    assert problem["error"].endswith(".")
    assert "\n" not in problem["error"]
    assert answered["content-type"] == "application/json"
    assert service.read(GOOD)[0] == 200
    bad, good = audit_of(service)[-2:]
    assert (bad["status"], bad["sha256"], good["status"]) == (status, None, 200)


def test_files_that_no_reader_may_read_are_refused(service: Service) -> None:
    """An unknown format gets 415, a damaged image or a wrong size 422."""
    statuses = {name: service.read(data)[0] for name, data in bad_images().items()}

    cut = {name: statuses.pop(name) for name in [*statuses] if name.startswith("cut-")}
    assert {status for name, status in cut.items() if "-00." in name} == {400}
    assert {status for name, status in cut.items() if "-00." not in name} == {422}
    unknown = ("vector", "page", "postscript", "document", "targa", "noise")
    damaged = ("moving-GIF", "moving-PNG", "moving-WEBP", "huge", "large", "thin", "tiny", "text", "floats")
    expected = [*[(name, 415) for name in unknown], *[(name, 422) for name in damaged], ("zeros", 413)]
    assert statuses == {f"{name}.png": status for name, status in expected}
    assert service.read(GOOD)[0] == 200


def test_every_good_file_is_read(service: Service) -> None:
    """In every mode and format, and whatever lies beside the pixels."""
    for name, data in good_images().items():
        status, _, answer = service.read(data)
        assert (status, json.loads(answer).get("text")) == (200, GOOD_TEXT), name


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/v1/read", 405), ("GET", "/nothing", 404), ("POST", "/healthz", 405)]
)
def test_an_unknown_path_or_method_is_refused(service: Service, method: str, path: str, status: int) -> None:
    """Also as one sentence. FastAPI's own pages, which load scripts from elsewhere, are unknown too."""
    found, _, answer = service.ask(method, path)

    assert (found, json.loads(answer)) == (status, {"error": f"There is no {method} {path}."})
    assert service.ask("GET", "/docs")[0] == 404


def test_a_body_of_unknown_length_ends_at_the_limit(service: Service) -> None:
    """A client may send chunks without end."""
    with socket.create_connection((HOST, service.port), timeout=60) as client:
        client.sendall(b"POST /v1/read HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        chunk = b"%x\r\n%b\r\n" % (1 << 20, bytes(1 << 20))
        for _ in range(5):
            client.sendall(chunk)

        assert client.recv(100).startswith(b"HTTP/1.1 413 ")


def test_bytes_that_are_not_http_are_refused(service: Service) -> None:
    """The connection ends. No line of the log is spent on it."""
    with socket.create_connection((HOST, service.port), timeout=60) as client:
        client.sendall(b"\x16\x03\x01 hello\r\n\r\n")

        assert client.recv(100).startswith(b"HTTP/1.1 400 ")


def test_the_state_and_the_counters_are_shown(service: Service) -> None:
    """`/metrics` is the text format of Prometheus."""
    before = _counted(service, 200)
    service.read(GOOD)

    for path, state in (("/healthz", "ok"), ("/readyz", "ready")):
        status, _, answer = service.ask("GET", path)
        assert (status, json.loads(answer)["status"]) == (200, state)
        assert json.loads(answer)["bundle"].startswith("bundle ")
    status, headers, text = service.ask("GET", "/metrics")
    assert (status, headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert _counted(service, 200) == before + 1
    assert b"slotlab_waiting_images 0.0" in text
    assert b'slotlab_readings_total{accepted="unknown",unfamiliar="false"}' in text
    assert b"process_resident_memory_bytes" in text


def _counted(service: Service, status: int) -> float:
    start = f'slotlab_requests_total{{status="{status}"}} '
    lines = service.ask("GET", "/metrics")[2].decode().splitlines()
    return sum(float(line.removeprefix(start)) for line in lines if line.startswith(start))


def test_the_audit_log_has_no_image_and_no_text(service: Service) -> None:
    """A line has the hash by which the lab knows the image, and what became of it."""
    _, _, answer = service.read(GOOD)

    line = audit_of(service)[-1]
    assert list(line) == ["time", "status", "ms", "sha256", "confidence", "accepted", "unfamiliar", "client"]
    assert line["sha256"] == pixel_hash(pixels_of(GOOD))
    assert line["confidence"] == json.loads(answer)["confidence"]
    assert (line["status"], line["accepted"], line["client"]) == (200, None, None)
    assert abs(datetime.fromisoformat(line["time"]) - datetime.now(UTC)) < timedelta(minutes=5)


def test_the_python_of_the_guide_reads(service: Service) -> None:
    """It returns the answer, and None for what is not an image."""
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/guide/api.md").read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)
    url = f"http://{HOST}:{service.port}/v1/read"

    assert names["read"](GOOD, url) == json.loads(service.read(GOOD)[2])
    assert names["read"](b"no image", url) is None


# Clients that are slow, or too many


def test_slow_clients_are_dropped_and_keep_nobody_out(toy_bundle: Path) -> None:
    """A body, the headers and a first byte have to arrive in time."""
    with serving(toy_bundle, "--timeout", "1", "--queue", "2") as service:
        slow = [socket.create_connection((HOST, service.port), timeout=60) for _ in range(9)]
        for client in slow[:3]:
            client.sendall(b"POST /v1/read HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nx")
        for client in slow[3:6]:
            client.sendall(b"POST /v1/read HTTP/1.1\r\nHost:")

        assert service.read(GOOD)[0] == 200
        assert all(client.recv(100).startswith(b"HTTP/1.1 408 ") for client in slow[:3])
        assert [_rest(client) for client in slow[3:]] == [b""] * 6
        assert service.read(GOOD)[0] == 200
        for client in slow:
            client.close()


@pytest.mark.long
def test_a_connection_in_use_is_kept(toy_bundle: Path) -> None:
    """Also between two requests, for longer than one may take."""
    with serving(toy_bundle, "--timeout", "1") as service:
        assert load_of(service.port, [GOOD], clients=2, seconds=4).lost == 0


def test_too_many_connections_are_refused_and_cost_no_files(toy_bundle: Path) -> None:
    """More connections than the process may open files. It refuses the rest, and reads again when they have ended."""
    with serving(toy_bundle, "--timeout", "2", files=128) as service:
        idle = [socket.create_connection((HOST, service.port), timeout=60) for _ in range(300)]
        with socket.create_connection((HOST, service.port), timeout=60) as client:
            answer = client.recv(1000)
        wait_until(lambda: _is_read(service))
        for each in idle:
            each.close()

        assert answer.startswith(b"HTTP/1.1 429 ")
        assert b"\r\nRetry-After: 1\r\n" in answer
        assert service.stop() == (0, "")


def _is_read(service: Service) -> bool:
    try:
        return service.read(GOOD)[0] == 200
    except OSError:  # the connection was closed before all was sent
        return False


def _rest(client: socket.socket) -> bytes:
    try:
        return client.recv(100)
    except ConnectionResetError:
        return b""


def test_too_many_clients_get_429_and_the_service_lives(toy_bundle: Path) -> None:
    """64 clients that do not wait get nothing but 200 and 429, and every request is answered and counted."""
    with serving(toy_bundle, "--queue", "16", "--threads", "1") as service:
        load = load_of(service.port, [GOOD], clients=64, seconds=2)

        assert set(load.statuses) == {200, 429}
        assert load.lost == 0
        assert load.statuses[200] >= 16
        assert service.read(GOOD)[0] == 200
        assert _counted(service, 429) == load.statuses[429]
        assert _counted(service, 200) == load.statuses[200] + 1


def test_a_full_queue_says_when_to_try_again(toy_bundle: Path) -> None:
    """At once, before the body has arrived."""
    with serving(toy_bundle, "--queue", "2", "--threads", "1") as service, ThreadPoolExecutor(9) as pool:
        ended = threading.Event()

        def keep_reading() -> None:
            while not ended.is_set():
                service.read(LARGE)

        readers = [pool.submit(keep_reading) for _ in range(8)]
        try:
            answer = b""
            end = time.monotonic() + 60
            while not answer.startswith(b"HTTP/1.1 429 ") and time.monotonic() < end:
                with socket.create_connection((HOST, service.port), timeout=5) as client:
                    client.sendall(b"POST /v1/read HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nx")
                    client.settimeout(1)
                    with suppress(TimeoutError):
                        answer = client.recv(1000)
        finally:
            ended.set()
        for reader in readers:
            reader.result()

    assert answer.startswith(b"HTTP/1.1 429 ")
    assert b"\r\nretry-after: 1\r\n" in answer.lower()


LARGE = encode_png(np.random.default_rng(1).integers(0, 256, (4, 4, 3), dtype=np.uint8).repeat(500, 0).repeat(500, 1))
"""An image of 4,000,000 pixels, which takes longest to read."""


def _waiting(service: Service) -> int:
    text = service.ask("GET", "/metrics")[2].decode()
    return round(
        float(next(line for line in text.splitlines() if line.startswith("slotlab_waiting_images ")).split()[1])
    )


# The end


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_answers_the_requests_that_have_begun(toy_bundle: Path, number: signal.Signals) -> None:
    """Then the process ends without an error, and the port is free."""
    with serving(toy_bundle, "--threads", "1", "--timeout", "60") as service, ThreadPoolExecutor(8) as pool:
        running = [pool.submit(service.read, LARGE) for _ in range(8)]
        wait_until(lambda: _waiting(service) + sum(each.done() for each in running) >= 8)

        code, errors = service.stop(number)

        assert (code, errors) == (0, "")
        assert [each.result()[0] for each in running] == [200] * 8
        with pytest.raises(ConnectionRefusedError):
            service.read(GOOD)


def test_after_kill_9_it_starts_again_on_its_port(toy_bundle: Path, tmp_path: Path) -> None:
    """The lines of the audit log are whole, and the new process appends to them."""
    log = tmp_path / "audit.jsonl"
    with serving(toy_bundle, "--audit-log", log) as service:
        loading = threading.Thread(target=load_of, args=(service.port, [GOOD], 8, 1))
        loading.start()
        wait_until(lambda: log.stat().st_size > 2000)
        service.process.kill()
        loading.join()
    before = len([json.loads(line) for line in log.read_text().splitlines()])

    with serving(toy_bundle, "--audit-log", log, port=service.port) as service:
        assert service.read(GOOD)[0] == 200
    after = [json.loads(line) for line in log.read_text().splitlines()]
    assert len(after) == before + 1
    assert log.stat().st_mode & 0o777 == 0o600


def test_the_process_loads_no_torch(toy_bundle: Path) -> None:
    """Nor the libraries of training and of the app. The modules are those of the process at its end."""
    code = (
        "import atexit, sys; from core.cli.commands import main;"
        "atexit.register(lambda: print('modules', *{name.partition('.')[0] for name in sys.modules}, file=sys.stderr));"
        "sys.argv[0] = 'slotlab'; main()"
    )
    with serving(toy_bundle, launch=("-c", code)) as service:
        assert service.read(GOOD)[0] == 200
        _, errors = service.stop()

    modules = set(errors.partition("modules ")[2].split())
    assert {"fastapi", "onnxruntime"} <= modules
    assert modules & {"torch", "timm", "torchvision", "cv2", "albumentations", "streamlit", "pandas", "scipy"} == set()


# Tokens and TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate of this machine for one day, and its key."""
    return make_certificate(tmp_path_factory.mktemp("tls"))


def test_other_machines_need_a_token_and_use_tls(
    toy_bundle: Path, certificate: tuple[Path, Path], tmp_path: Path
) -> None:
    """On all addresses. A token is revoked by deleting its line. The log names the client."""
    tokens, log, (cert, key) = tmp_path / "tokens", tmp_path / "audit.jsonl", certificate
    first, second = new_token(tokens, "crawler"), new_token(tokens, "robot")
    options = ("--host", "0.0.0.0", "--token-file", tokens, "--tls-cert", cert, "--tls-key", key, "--audit-log", log)
    with serving(toy_bundle, *options) as service:

        def status_of(path: str, token: str | None, body: bytes | None = None) -> int:
            headers = PNG | ({"Authorization": token} if token else {})
            request = urllib.request.Request(f"https://localhost:{service.port}{path}", body, headers)
            try:
                with urllib.request.urlopen(request, context=ssl.create_default_context(cafile=cert)) as answer:
                    return int(answer.status)
            except urllib.error.HTTPError as error:
                return int(error.code)

        assert status_of("/v1/read", f"Bearer {first}", GOOD) == 200
        assert status_of("/v1/read", f"bearer {second}", GOOD) == 200
        for wrong in (None, first, f"Basic {first}", f"Bearer {first}x", "Bearer ", "Bearer \xff"):
            assert status_of("/v1/read", wrong, GOOD) == 401, wrong
        assert (status_of("/metrics", None), status_of("/metrics", f"Bearer {first}")) == (401, 200)
        assert (status_of("/healthz", None), status_of("/readyz", None)) == (200, 200)

        tokens.write_text("".join(line for line in tokens.open() if not line.startswith("crawler ")))
        assert status_of("/v1/read", f"Bearer {first}", GOOD) == 401
        assert status_of("/v1/read", f"Bearer {second}", GOOD) == 200
        tokens.write_text("damaged")
        assert status_of("/v1/read", f"Bearer {second}", GOOD) == 401

    clients = [json.loads(line)["client"] for line in log.read_text().splitlines()]
    assert clients == ["crawler", "robot", *[None] * 7, "robot", None]
    assert first not in tokens.read_text() + log.read_text()


def test_a_proxy_may_use_any_name(toy_bundle: Path) -> None:
    """It asks for the login, so the service takes requests under its name."""
    with serving(toy_bundle, "--behind-proxy", "--host", "0.0.0.0") as service:
        assert (
            service.read(GOOD, PNG | {"Host": "reader.example.org", "Origin": "https://reader.example.org"})[0] == 200
        )
