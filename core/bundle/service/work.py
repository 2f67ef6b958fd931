"""The threads that read images, and the bounded queue before them."""

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from PIL import UnidentifiedImageError

from core.bundle.reader import Pixels, Reading, UnreadableImageError, decode, pixel_hash
from core.bundle.service.refusal import RefusalError, busy

BATCH = 8
"""Waiting images that a thread reads together: 8 take a fifth less time than 8 alone, 32 not less than 8."""
BATCH_PIXELS = 4_000_000
"""A batch with more ends early, because 8 of the largest images would need 100 MB."""


ReadAll = Callable[[Sequence[Pixels]], list[Reading]]
"""Reads images together. Threads may share it."""


class Answer(NamedTuple):
    """The result of one image."""

    sha256: str
    """Hash of the pixels."""
    reading: Reading


class _Job(NamedTuple):
    data: bytes
    future: asyncio.Future[Answer]


class Workers:
    """Threads that read images for one event loop. At most `room` images wait or are being read."""

    def __init__(self, read_all: ReadAll, *, threads: int, room: int, seconds: float) -> None:
        self.waiting = 0
        """Images that are not answered yet. Only the event loop changes it."""
        self._read_all, self._threads, self._room, self._seconds = read_all, threads, room, seconds
        self._jobs: deque[_Job] = deque()
        self._changed = threading.Condition()

    def start(self) -> None:
        """Start the threads. They end with the process, which answers all requests before."""
        self._loop = asyncio.get_running_loop()
        for index in range(self._threads):
            threading.Thread(target=self._work, name=f"reader-{index}", daemon=True).start()

    def check_room(self) -> None:
        """Raise RefusalError if the queue is full."""
        if self.waiting >= self._room:
            raise busy()

    async def read(self, data: bytes) -> Answer:
        """Return the reading of an encoded image. Raises RefusalError, also if its turn does not come in time."""
        self.check_room()
        self.waiting += 1
        job = _Job(data, self._loop.create_future())
        with self._changed:
            self._jobs.append(job)
            self._changed.notify()
        try:
            return await asyncio.wait_for(job.future, self._seconds)
        except TimeoutError:
            raise busy() from None  # the threads pass over a canceled job
        except UnreadableImageError as error:
            unknown = isinstance(error.__cause__, UnidentifiedImageError)
            raise RefusalError(415 if unknown else 422, str(error)) from error

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._jobs:
                    self._changed.wait()
                job = self._jobs.popleft()
            answered, jobs, images = 0, [], []
            outcomes: list[tuple[_Job, Answer | Exception]] = []
            while True:
                answered += 1
                if not job.future.done():  # its time is not over
                    try:
                        images.append(decode(job.data))
                        jobs.append(job)
                    except Exception as error:  # noqa: BLE001 - the request fails, and the thread goes on
                        outcomes.append((job, error))
                full = answered == BATCH or sum(image.shape[0] * image.shape[1] for image in images) >= BATCH_PIXELS
                with self._changed:
                    if full or not self._jobs:
                        break
                    job = self._jobs.popleft()
            outcomes += self._read(jobs, images)
            with contextlib.suppress(RuntimeError):  # the event loop is closed
                self._loop.call_soon_threadsafe(self._deliver, answered, outcomes)

    def _read(self, jobs: Sequence[_Job], images: Sequence[Pixels]) -> list[tuple[_Job, Answer | Exception]]:
        if not images:
            return []
        try:
            readings = self._read_all(images)
            answers = [Answer(pixel_hash(image), reading) for image, reading in zip(images, readings, strict=True)]
            return list(zip(jobs, answers, strict=True))
        except Exception as error:  # noqa: BLE001 - the requests fail, and the thread goes on
            return [(job, error) for job in jobs]

    def _deliver(self, answered: int, outcomes: Sequence[tuple[_Job, Answer | Exception]]) -> None:
        self.waiting -= answered
        for job, outcome in outcomes:
            if job.future.done():
                continue
            if isinstance(outcome, Exception):
                job.future.set_exception(outcome)
            else:
                job.future.set_result(outcome)
