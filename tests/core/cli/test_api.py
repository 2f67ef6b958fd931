"""Mistakes that `slotlab api` refuses before it listens, and the tokens that it makes."""

import hashlib
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from core.bundle.service.access import Tokens
from core.home import Home
from tests.helpers.command_line import command_here, refused
from tests.helpers.repository import ROOT

Api = Callable[..., subprocess.CompletedProcess[str]]
HASH = "0" * 64


@pytest.fixture
def api(home: Home, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Api:
    """Run `slotlab api` in this process. It must end before it serves."""
    return lambda *arguments: command_here(home.root, capsys, monkeypatch, "api", *arguments)


@pytest.mark.parametrize(
    ("options", "host"),
    [
        (["--host", "0.0.0.0"], "0.0.0.0"),
        (["--host", ""], "all addresses"),
        (["--host", "::", "--token-file", "tokens"], "::"),
        (["--host", "192.0.2.1", "--tls-cert", "cert", "--tls-key", "key"], "192.0.2.1"),
        (["--host", "reader.example.org"], "reader.example.org"),
    ],
)
def test_other_machines_need_a_token_and_tls_or_a_proxy(api: Api, options: list[str], host: str) -> None:
    """One of the two is not enough."""
    refused(
        api("bundle", *options),
        f"slotlab: Other machines can reach {host}. Give --token-file, --tls-cert and --tls-key, or --behind-proxy "
        "if only a proxy with TLS and a login can reach this port.\n",
    )


def test_certificate_and_key_belong_together(api: Api, toy_bundle: Path, tmp_path: Path) -> None:
    """One without the other, missing files, and files that are something else."""
    refused(api("bundle", "--tls-cert", "cert"), "slotlab: Give --tls-cert and --tls-key together.\n")
    missing = ("--tls-cert", tmp_path / "cert", "--tls-key", tmp_path / "key")
    refused(api(toy_bundle, *missing), "slotlab: The certificate or its key cannot be read (No such file or directory)")
    (tmp_path / "cert").write_text("hello")
    (tmp_path / "key").write_text("hello")
    refused(api(toy_bundle, *missing), f"{tmp_path}/cert and {tmp_path}/key are not a certificate and its key")


def test_a_bundle_that_is_missing_or_damaged_is_named(api: Api, toy_bundle: Path, tmp_path: Path) -> None:
    """It is loaded and tested before the service listens."""
    refused(api(tmp_path), "slotlab: SHA256SUMS of this bundle cannot be read (No such file or directory).")
    bundle = shutil.copytree(toy_bundle, tmp_path / "bundle")
    (bundle / "model.onnx").write_bytes(b"")
    refused(api(tmp_path / "nothing"), "nothing cannot be read (No such file or directory).\n")
    refused(api(bundle), "slotlab: model.onnx of this bundle is damaged. Copy the whole bundle again.\n")


def test_an_address_that_cannot_be_used_is_refused(api: Api, toy_bundle: Path) -> None:
    """A port that another program uses, an address of another machine, and no address."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        refused(api(toy_bundle, "--port", str(port)), f"slotlab: Port {port} is in use; choose another with --port.\n")
    elsewhere = api(toy_bundle, "--host", "192.0.2.1", "--behind-proxy", "--port", "0")
    refused(elsewhere, "slotlab: 192.0.2.1 is not an address of this machine (")
    nowhere = api(toy_bundle, "--host", "no address", "--behind-proxy")
    refused(nowhere, "slotlab: 'no address' is not an address.\n")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (None, "tokens cannot be read (No such file or directory)."),
        ("", "tokens has no token. Add one with --new-token NAME."),
        ("# nobody\n", "tokens has no token. Add one with --new-token NAME."),
        (f"crawler {HASH}\nrobot\n", "Line 2 of "),
        (f"crawler {HASH[1:]}\n", "Line 1 of "),
        ("\0" * (1 << 21), "tokens cannot be read (Larger than 1 MB)."),
    ],
)
def test_a_file_without_usable_tokens_is_refused(api: Api, tmp_path: Path, text: str | None, sentence: str) -> None:
    """So a service never starts open by mistake."""
    if text is not None:
        (tmp_path / "tokens").write_text(text)

    refused(api("bundle", "--token-file", tmp_path / "tokens"), sentence)


def test_a_token_is_shown_once_and_stored_as_a_hash(api: Api, tmp_path: Path) -> None:
    """The file is private. A name has one token."""
    path = tmp_path / "tokens"
    path.write_text(f"robot {HASH}")  # without a line break at its end
    path.chmod(0o600)

    done = api("bundle", "--token-file", path, "--new-token", "crawler")

    token = done.stdout.strip()
    assert (done.returncode, len(token)) == (0, 43)
    assert path.read_text() == f"robot {HASH}\ncrawler {hashlib.sha256(token.encode()).hexdigest()}\n"
    assert Tokens(path).name_of(token) == "crawler"
    assert Tokens(path).name_of(token[1:]) is None
    again = api("bundle", "--token-file", path, "--new-token", "crawler")
    refused(again, f"slotlab: {path} has a token of crawler. Delete its line first.\n")
    refused(api("bundle", "--token-file", path, "--new-token", "a b"), "slotlab: 'a b' is not a name. Use up to 64")
    refused(api("bundle", "--new-token", "crawler"), "slotlab: Give the file of the tokens with --token-file.\n")
    api("bundle", "--token-file", tmp_path / "new", "--new-token", "crawler")
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o600


def test_an_audit_log_that_cannot_be_written_is_refused(api: Api, toy_bundle: Path, tmp_path: Path) -> None:
    """A folder that is missing, and something that is not a file."""
    missing = api(toy_bundle, "--audit-log", tmp_path / "missing" / "audit.jsonl")
    refused(missing, "audit.jsonl cannot be written (No such file or directory).\n")
    refused(api(toy_bundle, "--audit-log", "/dev/null"), "slotlab: /dev/null is not a file. Give the name of a file.\n")


def test_a_log_that_cannot_be_written_is_refused(api: Api, toy_bundle: Path, tmp_path: Path) -> None:
    """Also images without a log, and a log that would be in the file of the other."""
    missing = tmp_path / "missing" / "log.jsonl"
    sentence = f"slotlab: The log {missing} cannot be written (No such file or directory).\n"
    refused(api(toy_bundle, "--log", missing), sentence)
    sentence = "slotlab: The log /dev/null is not a file. Give the name of a file.\n"
    refused(api(toy_bundle, "--log", "/dev/null"), sentence)
    sentence = "slotlab: Images are written beside a log. Give its file with --log.\n"
    refused(api(toy_bundle, "--log-images"), sentence)
    both = ("--log", tmp_path / "log.jsonl", "--audit-log", tmp_path / "." / "log.jsonl")
    refused(api(toy_bundle, *both), "slotlab: Give --log and --audit-log different files.\n")


def test_without_its_packages_it_says_what_to_install() -> None:
    """`make install` does not bring them."""
    code = (
        "import sys; sys.modules['fastapi'] = None; from core.cli.commands import main;"
        "sys.argv = ['slotlab', 'api', 'bundle']; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)

    refused(done, 'slotlab: The package fastapi is missing. Install it: pip install "slotlab[serve]"\n')
