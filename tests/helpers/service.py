"""A real `slotlab api` in a process, and clients for it."""

import asyncio
import http.client
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from resource import RLIMIT_FSIZE, RLIMIT_NOFILE, setrlimit

from tests.helpers.aside import aside
from tests.helpers.repository import ROOT

HOST = "127.0.0.1"
PNG = {"Content-Type": "image/png"}


@dataclass(frozen=True)
class Service:
    """A service that answers."""

    process: subprocess.Popen[str]
    port: int

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Return status, headers and body of the answer."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=60)
        try:
            connection.request(method, path, body, dict(headers or {}))
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            connection.close()

    def read(self, image: bytes, headers: Mapping[str, str] = PNG) -> tuple[int, Mapping[str, str], bytes]:
        return self.ask("POST", "/v1/read", image, headers)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """Send a signal. Return the exit code and what the service printed on stderr."""
        self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=60)
        return self.process.returncode, errors


@contextmanager
def serving(
    bundle: Path,
    *options: str | Path,
    launch: Sequence[str] = ("-m", "core.cli"),
    port: int = 0,
    files: int | None = None,
    file_bytes: int | None = None,
) -> Iterator[Service]:
    """Start `slotlab api` and wait until it answers. `launch` are arguments of Python before `api`.

    `files` limits the files that the process may open, and `file_bytes` the size of each, as a full disk does.
    """

    def limit() -> None:
        if files:
            setrlimit(RLIMIT_NOFILE, (files, files))
        if file_bytes:
            setrlimit(RLIMIT_FSIZE, (file_bytes, file_bytes))

    command = [sys.executable, *launch, "api", str(bundle), "--port", str(port), *map(str, options)]
    process = subprocess.Popen(
        command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, text=True, preexec_fn=limit,  # noqa: PLW1509
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.fullmatch(r"Slotlab reads images at \w+://.*:(\d+)/v1/read \(Ctrl-C stops it\)\.\n", line)
        assert found, line + (process.communicate(timeout=10)[1] if process.poll() is not None else "")
        yield Service(process, int(found[1]))
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        process.communicate()


@dataclass
class Load:
    """The answers that clients got."""

    statuses: Counter[int] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    """Time of each answer with status 200."""
    lost: int = 0
    """Requests without an answer."""
    took: float = 0


def load_of(port: int, images: Sequence[bytes], clients: int, seconds: float, rate: float | None = None) -> Load:
    """Send images as fast as they are answered, or `rate` a second, and return what came back.

    With a rate, the time of an answer counts from when its request was due. So a slow answer cannot delay the next.
    """
    return aside(lambda: asyncio.run(_load(port, images, clients, seconds, rate)))


async def _load(port: int, images: Sequence[bytes], clients: int, seconds: float, rate: float | None) -> Load:
    load, start = Load(), time.perf_counter()
    requests = [
        b"POST /v1/read HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: image/png\r\nContent-Length: %d\r\n\r\n%b"
        % (len(image), image)
        for image in images
    ]

    async def client(index: int) -> None:
        reader = writer = None
        for turn in range(index, sys.maxsize, clients):
            due = start + (turn / rate if rate else 0)
            if max(due, time.perf_counter()) >= start + seconds:
                break
            if rate:
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
            began = due if rate else time.perf_counter()
            try:
                if reader is None or writer is None:
                    reader, writer = await asyncio.open_connection(HOST, port)
                writer.write(requests[turn % len(requests)])
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"content-length: (\d+)", head)
                await reader.readexactly(int(length[1]) if length else 0)
            except (OSError, asyncio.IncompleteReadError):
                load.lost += 1
                if writer is not None:
                    writer.close()
                reader = writer = None
                continue
            load.statuses[status := int(head.split(b" ", 2)[1])] += 1
            if status == 200:
                load.seconds.append(time.perf_counter() - began)
        if writer is not None:
            writer.close()

    await asyncio.gather(*(client(index) for index in range(clients)))
    load.took = time.perf_counter() - start
    return load
