"""Verdicts that clients send to a real `slotlab api`: logged, refused, and on a full disk."""

import asyncio
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.bundle.reader import REASON, Log, Reading, load, pixel_hash, pixels_of
from core.bundle.service import verdicts as service_verdicts
from core.bundle.service.access import new_token
from core.bundle.service.refusal import RefusalError
from core.bundle.service.verdicts import Verdicts
from core.images.pixels import encode_png
from tests.helpers import toy
from tests.helpers.aside import aside
from tests.helpers.service import PNG, Service, load_of, serving

GOOD = encode_png(toy.draw("x-", np.random.default_rng(3)))
JSON = {"Content-Type": "application/json"}
SHAPE = 'Send {"id": "...", "accepted": true or false, "reason": null or up to 200 characters}.'
LINE = "The reason is not one line of at most 200 characters."


def lines_of(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_bytes().split(b"\n")[:-1]]


def say(service: Service, body: object, headers: Mapping[str, str] = JSON) -> tuple[int, dict[str, Any]]:
    """Send a verdict. Return the status and the object of the answer."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    status, _, answer = service.ask("POST", "/v1/verdict", data, headers)
    return status, json.loads(answer) if answer else {}


def counted(service: Service, name: str) -> float:
    lines = service.ask("GET", "/metrics")[2].decode().splitlines()
    return sum(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("log") / "log.jsonl"


@pytest.fixture(scope="module")
def service(toy_bundle: Path, log: Path) -> Iterator[Service]:
    """A service without tokens, with a log of images."""
    with serving(toy_bundle, "--log", log, "--log-images") as made:
        yield made


def test_a_verdict_joins_its_answer_in_the_log(service: Service, toy_bundle: Path, log: Path) -> None:
    """The file is that of a bundle's reader. A second verdict is written too."""
    answer = json.loads(service.read(GOOD)[2])
    name = json.loads(service.ask("GET", "/healthz")[2])["bundle"]

    rejected = say(service, {"id": answer["id"], "accepted": False, "reason": "captcha"})
    accepted = say(service, {"id": answer["id"], "accepted": True})

    assert rejected == accepted == (204, {})
    line, *verdicts = [line for line in lines_of(log) if line["id"] == answer["id"]]
    sha256 = pixel_hash(pixels_of(GOOD))
    assert (line["bundle"], line["sha256"], line["reading"]["text"]) == (name, sha256, answer["text"])
    assert name == load(toy_bundle).name
    assert (log.with_name(log.name + ".images") / line["image"]).read_bytes()[:4] == b"\x89PNG"
    assert [verdict | {"time": 0} for verdict in verdicts] == [
        {"id": answer["id"], "time": 0, "sha256": sha256, "text": answer["text"], "accepted": good, "reason": reason}
        for good, reason in ((False, "captcha"), (True, None))
    ]
    for good in ("true", "false"):
        assert counted(service, f'slotlab_verdicts_total{{accepted="{good}"}}') == 1
    assert counted(service, "slotlab_log_failures") == 0


BAD: dict[str, tuple[int, object, dict[str, str], str]] = {
    "empty": (400, b"", JSON, "The request is not JSON."),
    "no JSON": (400, b"{", JSON, "The request is not JSON."),
    "not UTF-8": (400, b'{"id": "\xff"}', JSON, "The request is not JSON."),
    "a list": (422, [], JSON, SHAPE),
    "no id": (422, {"accepted": True}, JSON, SHAPE),
    "no verdict": (422, {"id": "ID"}, JSON, SHAPE),
    "a text for a verdict": (422, {"id": "ID", "accepted": "true"}, JSON, SHAPE),
    "a number for a reason": (422, {"id": "ID", "accepted": False, "reason": 7}, JSON, SHAPE),
    "a long reason": (422, {"id": "ID", "accepted": False, "reason": "x" * (REASON + 1)}, JSON, SHAPE),
    "an accepted text with a reason": (
        422, {"id": "ID", "accepted": True, "reason": "captcha"}, JSON,
        "An accepted text has no reason, because only a rejection has one.",
    ),
    "lines for a reason": (422, {"id": "ID", "accepted": False, "reason": "a\nb"}, JSON, LINE),
    "another key": (422, {"id": "ID", "accepted": False, "why": "captcha"}, JSON, SHAPE),
    "unknown": (404, {"id": "other", "accepted": True}, JSON, "This service has not read 'other', or too long ago."),
    "large": (413, b" " * 16385, JSON, "The request is too large; the limit is 16,384 bytes."),
    "an image": (415, GOOD, PNG, "Send JSON with Content-Type application/json, not as image/png."),
    "foreign host": (
        421, {"id": "ID", "accepted": True}, JSON | {"Host": "a.example.org"},
        "This service is 127.0.0.1, not 'a.example.org'.",
    ),
    "page of another website": (
        403, {"id": "ID", "accepted": True}, JSON | {"Origin": "https://a.example.org"},
        "Pages of 'https://a.example.org' may not use this service.",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_bad_verdict_gets_a_status_and_one_sentence(service: Service, log: Path, name: str) -> None:
    """Nothing is logged, and the next verdict is."""
    status, body, headers, sentence = BAD[name]
    given = json.loads(service.read(GOOD)[2])["id"]
    if isinstance(body, dict) and body.get("id") == "ID":
        body = body | {"id": given}

    assert say(service, body, headers) == (status, {"error": sentence})

    assert say(service, {"id": given, "accepted": True})[0] == 204
    assert [line["id"] for line in lines_of(log)][-2:] == [given, given]


def test_without_a_log_there_are_no_verdicts(toy_bundle: Path, tmp_path: Path) -> None:
    """An answer has no id then. With tokens, only their clients may send a verdict."""
    token = {"Authorization": f"Bearer {new_token(tmp_path / 'tokens', 'crawler')}"}
    with serving(toy_bundle, "--token-file", tmp_path / "tokens") as service:
        assert json.loads(service.read(GOOD, PNG | token)[2])["id"] is None

        problem = {"error": "This service has no log. Start it with --log FILE."}
        assert say(service, {"id": "0" * 32, "accepted": True}, JSON | token) == (404, problem)
        assert say(service, {"id": "0" * 32, "accepted": True})[0] == 401


def test_a_full_disk_refuses_verdicts_and_costs_no_reading(toy_bundle: Path, tmp_path: Path) -> None:
    """Missing lines are counted. The service says so once on stderr, and ends without an error."""
    log = tmp_path / "log.jsonl"
    with serving(toy_bundle, "--log", log, file_bytes=1000) as service:
        load = load_of(service.port, [GOOD], clients=4, seconds=1)
        answer = json.loads(service.read(GOOD)[2])

        assert (set(load.statuses), load.lost) == ({200}, 0)
        assert say(service, {"id": answer["id"], "accepted": True}) == (
            507, {"error": "The log cannot be written. The disk of the service may be full."},
        )  # fmt: skip
        assert answer["text"] == "x-"
        assert counted(service, "slotlab_log_failures") > 2
        assert counted(service, 'slotlab_verdicts_total{accepted="true"}') == 0
        code, errors = service.stop()

    assert code == 0
    assert errors.startswith(f"The log {log} cannot be written (")
    assert errors.count("\n") == 1
    assert log.stat().st_size <= 1000


def test_a_service_that_starts_again_knows_the_readings_of_its_log(toy_bundle: Path, tmp_path: Path) -> None:
    """A portal can answer minutes later. Lines that are cut or damaged cost only themselves."""
    log = tmp_path / "log.jsonl"
    first, second = (load(toy_bundle, log=log).read(GOOD) for _ in range(2))
    first.accepted_by_portal(accepted=True)
    damaged = [
        b"{",
        b"[" * 100_000,
        b"7",
        b"\xff",
        b'{"id": ["x"], "sha256": "", "reading": {"text": ""}}',
        b'{"id": "x"',
    ]
    with log.open("ab") as file:
        file.write(b"\n".join(damaged))

    with serving(toy_bundle, "--log", log) as service:
        assert say(service, {"id": second.id, "accepted": False, "reason": "captcha"}) == (204, {})
        assert say(service, {"id": first.id, "accepted": True}) == (204, {})
        assert say(service, {"id": "x", "accepted": True})[0] == 404

    one, other = [json.loads(line) for line in log.read_bytes().splitlines()[-2:]]
    assert (one["id"], one["sha256"], one["text"]) == (second.id, pixel_hash(pixels_of(GOOD)), second.text)
    assert (other["id"], other["accepted"]) == (first.id, True)


def test_only_the_end_of_a_log_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So a service with a large log starts soon, and needs no more memory."""
    path = tmp_path / "log.jsonl"
    log = Log(path, "bundle")
    ids = [str(log.answer(Reading("x-", 1.0, None, None, ()), pixels_of(GOOD), None).id) for _ in range(3)]
    monkeypatch.setattr(service_verdicts, "TAIL_BYTES", path.stat().st_size * 5 // 6)  # cuts the first line

    verdicts = Verdicts(log)

    async def statuses() -> list[int]:
        found = []
        for id_ in ids:
            try:
                await verdicts.add(json.dumps({"id": id_, "accepted": True}).encode())
                found.append(204)
            except RefusalError as refusal:
                found.append(refusal.status)
        return found

    assert aside(lambda: asyncio.run(statuses())) == [404, 204, 204]


def test_the_oldest_reading_is_forgotten_first(tmp_path: Path) -> None:
    """The memory of a service is bounded."""
    path = tmp_path / "log.jsonl"
    verdicts = Verdicts(Log(path, "bundle"), remembered=2)
    for id_ in "abc":
        verdicts.remember("0" * 64, Reading("x-", 1.0, None, None, (), id_))

    async def add() -> None:
        for id_ in "cb":
            await verdicts.add(json.dumps({"id": id_, "accepted": True}).encode())
        with pytest.raises(RefusalError, match=r"^This service has not read 'a', or too long ago\.$") as refusal:
            await verdicts.add(b'{"id": "a", "accepted": true}')
        assert refusal.value.status == 404

    aside(lambda: asyncio.run(add()))
    assert [line["id"] for line in lines_of(path)] == ["c", "b"]
