"""The webhook against a real server: what it says, how often, and what its failures cost."""

import fcntl
import json
import os
import ssl
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from sqlite_utils import Database

from core.errors import OptionError
from core.home import Home
from core.jobs import control, webhook
from core.jobs.jobdir import JobDir, try_lock
from db import jobs
from db.records import Project
from tests.helpers.certificate import make_certificate
from tests.helpers.command_line import command_here, refused
from tests.helpers.lab import free_port
from tests.helpers.runs import start_forever
from tests.helpers.stand_in import MakeJob, RunJob
from tests.helpers.waiting import wait_for_end, wait_until, wait_until_working


class Receiver(ThreadingHTTPServer):
    """A server that keeps the messages it gets. It answers when `may_answer` is set."""

    daemon_threads = True

    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.status = 204
        self.may_answer = threading.Event()
        self.may_answer.set()
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/secret-path"


class Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        assert self.headers["Content-Type"] == "application/json"
        self.server.paths.append(self.path)
        self.server.got.append(json.loads(body))
        self.server.may_answer.wait(60)
        self.send_response(self.server.status)
        self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_POST

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """A receiver that the webhook names. A proxy that does not exist must not be asked for it."""
    with Receiver() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        monkeypatch.setenv("SLOTLAB_WEBHOOK", server.url)
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
        yield server
        server.may_answer.set()
        server.shutdown()


# From the runner


def test_an_ended_run_is_reported_once(make_job: MakeJob, run_job: RunJob, receiver: Receiver) -> None:
    """The message has exactly these fields. A second runner of the same job adds nothing."""
    job = make_job(steps=5)
    job.write("run.json", job.spec() | {"preset": "fast", "project": {"name": "portal", "charset": "0123456789"}})

    assert run_job(job).wait() == 0
    assert run_job(job).wait() == 0

    assert receiver.got == [{
        "event": "run ended", "run": "0001-fast", "project": "portal", "preset": "fast", "state": "finished",
        "cause": None, "val_correct": 5, "val_n": None, "exact_match": None, "agreement": None, "seconds": None,
        "at": job.read("exit.json")["at"],
    }]  # fmt: skip
    assert receiver.paths == ["/secret-path"]
    assert "webhook" not in job.log_tail(50)


def test_each_end_of_a_resumed_run_is_reported(make_job: MakeJob, run_job: RunJob, receiver: Receiver) -> None:
    """A shutdown ends it first. After the resume it finishes."""
    job = make_job()
    runner = run_job(job)
    wait_until_working(job)
    runner.terminate()
    runner.wait()

    job.write("run.json", job.spec() | {"steps": 3})
    job.remove("exit.json")
    run_job(job).wait()

    assert [message["state"] for message in receiver.got] == ["lost", "finished"]


def test_a_failure_is_reported_by_its_cause(make_job: MakeJob, run_job: RunJob, receiver: Receiver) -> None:
    """The sentence could name a label, so it stays here. Other jobs send nothing."""
    run_job(make_job(behave="fill the disk")).wait()
    run_job(make_job("0002-evaluate", kind="evaluate", steps=3)).wait()

    (message,) = receiver.got
    assert (message["state"], message["cause"]) == ("failed", "disk_full")
    assert "Free some space" not in json.dumps(message)


def test_a_slow_receiver_holds_up_nothing(make_job: MakeJob, run_job: RunJob, receiver: Receiver) -> None:
    """The run has ended, and the device is free for the next one."""
    receiver.may_answer.clear()
    job = make_job(steps=3)

    runner = run_job(job)
    wait_until(lambda: receiver.got)

    assert job.observe().state == "finished"
    slot = os.open(job.path.parent / "cpu.lock", os.O_RDWR)
    assert try_lock(slot, fcntl.LOCK_EX)
    os.close(slot)
    assert runner.poll() is None
    receiver.may_answer.set()
    assert runner.wait() == 0


def test_a_receiver_that_is_gone_costs_one_line(
    make_job: MakeJob, run_job: RunJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line names the host, but not the path, which may be a secret."""
    monkeypatch.setenv("SLOTLAB_WEBHOOK", f"http://127.0.0.1:{free_port()}/secret-path")
    job = make_job(steps=3)

    assert run_job(job).wait() == 0

    assert wait_for_end(job).state == "finished"
    line = "The webhook at 127.0.0.1 failed: Connection refused."
    assert job.log_tail(50).splitlines().count(line) == 1
    assert "secret" not in job.log_tail(50)
    assert "Traceback" not in job.log_tail(50)


# Delivery


@pytest.mark.parametrize(("status", "sentence"), [(500, "status 500"), (302, "status 302")])
def test_another_status_is_a_failure(
    receiver: Receiver, capsys: pytest.CaptureFixture[str], status: int, sentence: str
) -> None:
    """A redirect is not followed, because it could lead to another machine."""
    receiver.status = status

    webhook.send({"run": "0001-fast"})

    assert receiver.paths == ["/secret-path"]
    assert capsys.readouterr().out == f"The webhook at 127.0.0.1 failed: {sentence}.\n"


def test_a_receiver_without_an_answer_is_left(
    receiver: Receiver, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time is that of the whole delivery."""
    monkeypatch.setattr(webhook, "SECONDS", 0.5)
    receiver.may_answer.clear()

    webhook.send({"run": "0001-fast"})

    assert len(receiver.got) == 1
    assert "no answer within 0.5 s" in capsys.readouterr().out


@pytest.mark.parametrize("trusted", [True, False])
def test_the_certificate_is_checked(
    receiver: Receiver,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    trusted: bool,
) -> None:
    """A receiver with an unknown certificate gets no message."""
    certificate, key = make_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    receiver.socket = context.wrap_socket(receiver.socket, server_side=True)
    monkeypatch.setenv("SLOTLAB_WEBHOOK", f"https://localhost:{receiver.server_port}/")
    monkeypatch.setenv("no_proxy", "localhost")
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))

    webhook.send({"run": "0001-fast"})

    assert receiver.got == ([{"run": "0001-fast"}] if trusted else [])
    printed = capsys.readouterr().out
    assert printed == "" if trusted else "The webhook at localhost failed" in printed


# From whoever notices


@pytest.mark.usefixtures("stand_in")
def test_a_run_killed_with_its_runner_is_reported_once(
    db: Database, home: Home, labeled: Project, receiver: Receiver
) -> None:
    """Two look at once, and neither waits for the receiver."""
    receiver.may_answer.clear()
    job = start_forever(db, home, labeled)
    job.kill()
    wait_for_end(job)
    seen = jobs.get_job(db, job.id)

    control.reconcile(db, home)
    control._reconcile(db, seen, job)

    wait_until(lambda: receiver.got)
    assert jobs.get_job(db, job.id).state == "lost"
    time.sleep(0.3)  # a second message would come now
    (message,) = receiver.got
    assert (message["run"], message["project"], message["state"]) == (job.id, labeled.name, "lost")
    assert datetime.fromisoformat(message["at"]).tzinfo


def test_a_killed_run_that_cannot_be_reported_has_a_line_in_its_log(
    make_job: MakeJob, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is printed where someone looks."""
    monkeypatch.setenv("SLOTLAB_WEBHOOK", f"http://127.0.0.1:{free_port()}/secret-path")
    job = make_job()

    control._call_webhook(job)

    wait_until(lambda: "The webhook at 127.0.0.1 failed: Connection refused." in job.log_tail(50))
    assert capfd.readouterr() == ("", "")


# The message


@pytest.mark.parametrize("reference", ["people", "readers"])
def test_agreement_is_not_called_exact_match(make_job: MakeJob, reference: str) -> None:
    """A run on readings has no exact match."""
    job = make_job()
    job.write("run.json", job.spec() | {"reference": reference})
    job.write("result.json", {"val": {"correct": 9, "n": 10}, "seconds": 61.5})

    message = webhook.message_of(job) or {}

    scores = message["exact_match"], message["agreement"]
    assert scores == ((0.9, None) if reference == "people" else (None, 0.9))
    assert (message["val_correct"], message["val_n"], message["seconds"]) == (9, 10, 61.5)


def test_a_damaged_directory_is_reported_as_failed(make_job: MakeJob) -> None:
    """A result that is not JSON has no score."""
    job = make_job()
    (job.path / "result.json").write_text("{")

    message = webhook.message_of(job) or {}

    assert (message["state"], message["exact_match"]) == ("failed", None)
    assert webhook.message_of(JobDir(job.path / "nothing")) is None


# The address


@pytest.mark.parametrize(
    "url",
    ["https://hooks.example.org/a?b=c", "https://[2001:db8::1]:8443/", "http://127.0.0.1:9000", "http://localhost/x"],
)
def test_an_address_is_taken(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """Any machine is reached by https, and only this one by http."""
    monkeypatch.setenv("SLOTLAB_WEBHOOK", f" {url} ")

    assert webhook.address() == url


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example.org/", "http://127.0.0.1.example.org/", "http://192.168.0.4/", "ftp://localhost/",
        "https://", "https://ann:secret@hooks.example.org/", "hooks.example.org", "https://localhost:port/",
        "https://[::1/", "file:///etc/passwd",
    ],
)  # fmt: skip
def test_an_address_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], url: str) -> None:
    """The sentence does not repeat the address. The runner prints it into the log."""
    monkeypatch.setenv("SLOTLAB_WEBHOOK", url)

    with pytest.raises(OptionError) as refusal:
        webhook.address()

    assert str(refusal.value).startswith("SLOTLAB_WEBHOOK must be an https address without a user name")
    assert url not in str(refusal.value)
    webhook.send({})
    assert capsys.readouterr().out == f"{refusal.value}\n"


def test_without_an_address_nothing_is_sent(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An empty one is none."""
    monkeypatch.setenv("SLOTLAB_WEBHOOK", " ")

    webhook.send({})

    assert webhook.address() is None
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("arguments", [("train", "--project", "portal"), ("app", "--port", "1")])
def test_commands_refuse_a_wrong_address_at_once(
    home: Home, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    """Otherwise only the log of a run would say so, hours later."""
    monkeypatch.setenv("SLOTLAB_WEBHOOK", "http://hooks.example.org/")

    done = command_here(home.root, capsys, monkeypatch, *arguments)

    refused(done, "slotlab: SLOTLAB_WEBHOOK must be an https address")
