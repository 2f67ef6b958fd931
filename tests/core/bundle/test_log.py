"""The log of a reader: whole lines of threads and processes, a full disk, killed processes, and files of any kind."""

import copy
import fcntl
import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from core.bundle.reader import (
    REASON,
    BundleError,
    Familiar,
    Look,
    Pixels,
    Reader,
    VerdictError,
    load,
    pixel_hash,
    pixels_of,
)
from core.data.verdict_file import GivenVerdict, VerdictFile
from core.images.pixels import decode
from db.answers import NewAnswer
from tests.helpers import bundling, toy
from tests.helpers.pictures import encoded
from tests.helpers.repository import ROOT
from tests.helpers.rights import ordinary_rights
from tests.helpers.waiting import wait_until

IMAGE = toy.draw("x-", np.random.default_rng(3))
READ_MANY = """
import sys
from concurrent.futures import ThreadPoolExecutor
from core.bundle.reader import load
bundle, log, threads, count = *sys.argv[1:3], *map(int, sys.argv[3:])
reader, image = load(bundle, log=log, log_images=True), bundle + "/test-1.png"
def work(index):
    for _ in range(count):
        reader.read(image).accepted_by_portal(index % 2 == 0, None if index % 2 == 0 else "captcha")
with ThreadPoolExecutor(threads) as pool:
    list(pool.map(work, range(threads)))
"""


def lines_of(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_bytes().split(b"\n")[:-1]]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "readings.jsonl"


@pytest.fixture
def reader(toy_bundle: Path, log: Path) -> Reader:
    return load(toy_bundle, log=log)


def test_an_answer_and_a_verdict_are_a_line_each(reader: Reader, log: Path, toy_bundle: Path) -> None:
    """The second names the first. A later verdict is written too, because the lab decides which counts."""
    reading = reader.read(Image.fromarray(IMAGE))
    reading.accepted_by_portal(accepted=False, reason="captcha")
    reading.accepted_by_portal(accepted=True)

    answer, verdict, again = lines_of(log)
    assert list(answer) == ["id", "time", "bundle", "sha256", "reading", "look", "image"]
    assert (answer["bundle"], answer["sha256"], answer["image"]) == (reader.name, pixel_hash(IMAGE), None)
    assert answer["reading"] == {
        "text": reading.text, "confidence": reading.confidence, "accepted": None, "unfamiliar": None,
    }  # fmt: skip
    assert reader.familiar is not None
    assert answer["look"] == pytest.approx(reader.familiar.look(IMAGE), abs=1e-4)
    assert abs(datetime.fromisoformat(answer["time"]) - datetime.now(UTC)) < timedelta(minutes=5)
    assert list(verdict) == ["id", "time", "sha256", "text", "accepted", "reason"]
    assert verdict | {"time": 0} == {
        "id": reading.id, "time": 0, "sha256": pixel_hash(IMAGE), "text": reading.text, "accepted": False,
        "reason": "captcha",
    }  # fmt: skip
    assert (again["id"], again["accepted"], again["reason"]) == (reading.id, True, None)
    assert len(reading.id or "") == 32
    assert log.stat().st_mode & 0o777 == 0o600
    assert {path.name for path in log.parent.iterdir()} == {log.name}
    assert reader.name.startswith("bundle ")
    assert load(toy_bundle).name == reader.name


def test_the_lab_reads_the_log(toy_bundle: Path, log: Path) -> None:
    """Answers with their images, and verdicts."""
    reader = load(toy_bundle, log=log, log_images=True)
    reading = reader.read(Image.fromarray(IMAGE))
    reading.accepted_by_portal(accepted=False, reason="captcha")

    answer, verdict = VerdictFile(log, toy.SPEC).read()

    assert reader.familiar is not None
    look = [pytest.approx(value, abs=1e-4) for value in reader.familiar.look(IMAGE)]
    assert isinstance(answer.given, NewAnswer)
    assert (answer.given.key, answer.given.sha256, answer.given.reader) == (reading.id, pixel_hash(IMAGE), reader.name)
    assert (answer.given.text, answer.given.confidence) == (reading.text, reading.confidence)
    assert [answer.given.distance, answer.given.surprise] == look
    assert answer.image is not None
    assert pixel_hash(decode(answer.image.read_bytes())) == answer.given.sha256
    assert isinstance(verdict.given, GivenVerdict)
    assert (verdict.given.key, verdict.given.sha256) == (reading.id, answer.given.sha256)
    assert (verdict.given.text, verdict.given.accepted, verdict.given.reason) == (reading.text, False, "captcha")


def test_a_log_changes_no_reading(reader: Reader, toy_bundle: Path) -> None:
    """Only the id is new. Unfamiliar images are logged with their look, also those of another size."""
    images = [IMAGE, np.pad(IMAGE, ((4, 4), (4, 4), (0, 0))), 255 - IMAGE]

    logged, plain = reader.read_all(images), load(toy_bundle).read_all(images)

    assert [each.to_dict() for each in logged] == [each.to_dict() for each in plain]
    assert [each.unfamiliar is not None for each in plain] == [False, True, True]
    assert {each.id for each in plain} == {None}
    assert reader.log is not None
    looks = [line["look"] for line in lines_of(reader.log.path)]
    assert reader.familiar is not None
    assert looks == [pytest.approx(reader.familiar.look(image), abs=1e-4) for image in images]


class CountedFamiliar(Familiar):
    """Counts its looks."""

    looks = 0

    def look(self, image: Pixels) -> Look:
        type(self).looks += 1
        return super().look(image)


@pytest.mark.parametrize("has_log", [False, True])
def test_a_reading_and_its_look_come_from_one_look(toy_bundle: Path, log: Path, has_log: bool) -> None:
    """So neither the log nor whoever compares looks has to take a second one."""
    reader, images = load(toy_bundle, log=log if has_log else None), [IMAGE, 255 - IMAGE]
    assert reader.familiar is not None
    expected = list(zip(reader.read_all(images), map(reader.familiar.look, images), strict=True))
    CountedFamiliar.looks, reader.familiar = 0, CountedFamiliar(**vars(reader.familiar))

    found = reader.read_with_looks(images)

    assert CountedFamiliar.looks == len(images)
    assert [(reading.to_dict(), look) for reading, look in found] == [
        (reading.to_dict(), look) for reading, look in expected
    ]


def test_a_reading_without_a_log_takes_no_verdict(toy_bundle: Path) -> None:
    reading = load(toy_bundle).read(Image.fromarray(IMAGE))

    with pytest.raises(VerdictError, match=r"^This reading has no log\. Load the bundle with load\(log=FILE\)\.$"):
        reading.accepted_by_portal(accepted=True)


@pytest.mark.parametrize(
    ("accepted", "reason", "sentence"),
    [
        ("no", None, r"The verdict is 'no'\. Give True or False\."),
        (None, None, r"The verdict is 'None'\. Give True or False\."),
        (False, "x" * (REASON + 1), r"The reason is not one line of at most 200 characters\."),
        (False, "a\nb", r"The reason is not one line of at most 200 characters\."),
        (False, "\ud800", r"The reason is not one line of at most 200 characters\."),
        (False, 7, r"The reason is not one line of at most 200 characters\."),
        (True, "captcha", r"An accepted text has no reason, because only a rejection has one\."),
        (True, "late", r"An accepted text has no reason, because only a rejection has one\."),
    ],
)
def test_a_verdict_that_is_none_is_refused(
    reader: Reader, log: Path, accepted: Any, reason: Any, sentence: str
) -> None:
    """An answer of the portal, taken for its verdict, would be a wrong label."""
    reading = reader.read(Image.fromarray(IMAGE))

    with pytest.raises(VerdictError, match=f"^{sentence}$"):
        reading.accepted_by_portal(accepted, reason)

    assert len(lines_of(log)) == 1


def test_the_command_logs_with_three_packages(toy_bundle: Path, three_packages: Path, log: Path) -> None:
    """Each line that it prints has the id of its line in the log. The images lie in a private folder."""
    files = [toy_bundle / f"test-{number}.png" for number in (1, 2, 3, 1)]

    done = bundling.bare(three_packages, toy_bundle, "reader.py", "--log", log, "--log-images", *files)

    assert (done.returncode, done.stderr) == (0, "")
    printed, logged, folder = [json.loads(line) for line in done.stdout.splitlines()], lines_of(log), images_of(log)
    assert [line["id"] for line in printed] == [line["id"] for line in logged]
    assert [line["text"] for line in printed] == [line["reading"]["text"] for line in logged]
    assert [line["image"] for line in logged] == [f"{pixel_hash(pixels_of(file))}.png" for file in files]
    assert {path.name for path in folder.iterdir()} == {line["image"] for line in logged}
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    refused = bundling.bare(three_packages, toy_bundle, "reader.py", "--log-images", files[0])
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == "reader.py: Images are written beside a log. Give the file of the log too.\n"


def images_of(log: Path) -> Path:
    return log.with_name(log.name + ".images")


def _modes() -> dict[str, bytes | Image.Image]:
    rng = np.random.default_rng(4)
    color, alpha = Image.fromarray(IMAGE), Image.fromarray(rng.integers(0, 256, (32, 64, 4), dtype=np.uint8), "RGBA")
    turned = Image.Exif()
    turned[0x0112] = 6
    return {
        "RGB": color, "L": color.convert("L"), "1": color.convert("1"), "P": color.convert("P"),
        "LA": alpha.convert("LA"), "RGBA": alpha, "CMYK": color.convert("CMYK"), "YCbCr": color.convert("YCbCr"),
        "I;16": Image.fromarray(rng.integers(0, 1 << 16, (32, 64), dtype=np.uint16)),
        "PNG with alpha": encoded(alpha, "PNG"), "JPEG": encoded(color, "JPEG"), "GIF": encoded(color, "GIF"),
        "WEBP": encoded(color, "WEBP", quality=50), "BMP": encoded(color, "BMP"),
        "turned JPEG": encoded(color, "JPEG", exif=turned),
    }  # fmt: skip


@pytest.mark.parametrize("mode", _modes())
def test_a_logged_image_has_the_pixels_that_were_read(toy_bundle: Path, log: Path, mode: str) -> None:
    """So the lab knows it by the hash of its line."""
    load(toy_bundle, log=log, log_images=True).read(_modes()[mode])

    (line,) = lines_of(log)
    data = (images_of(log) / line["image"]).read_bytes()
    assert line["image"] == f"{line['sha256']}.png"
    assert pixel_hash(decode(data)) == line["sha256"]


def test_threads_and_processes_share_a_log(toy_bundle: Path, log: Path) -> None:
    """Two processes of eight threads: every line is whole, and each verdict has its answer."""
    command = [sys.executable, "-c", READ_MANY, str(toy_bundle), str(log), "8", "40"]
    running = [subprocess.Popen(command, cwd=ROOT) for _ in range(2)]

    assert [process.wait(timeout=100) for process in running] == [0, 0]

    lines = lines_of(log)
    answers, verdicts = ([line["id"] for line in lines if key in line] for key in ("reading", "accepted"))
    assert len(lines) == 2 * 8 * 40 * 2
    assert len(set(answers)) == 2 * 8 * 40
    assert sorted(answers) == sorted(verdicts)
    assert len(list(images_of(log).iterdir())) == 1


def test_a_line_waits_for_that_of_another_process(reader: Reader, log: Path) -> None:
    """A line whose end is still to come is not taken for one that was torn."""
    with log.open("ab", buffering=0) as other, ThreadPoolExecutor(1) as pool:
        fcntl.flock(other, fcntl.LOCK_EX)
        other.write(b'{"id": "0123')
        reading = pool.submit(reader.read, Image.fromarray(IMAGE))
        with pytest.raises(TimeoutError):
            reading.result(timeout=0.5)
        other.write(b'4567"}\n')
        fcntl.flock(other, fcntl.LOCK_UN)

        assert [line["id"] for line in lines_of(log)][:1] == ["01234567"]
        assert reading.result().id == lines_of(log)[1]["id"]


def test_after_kill_9_the_next_line_stands_alone(toy_bundle: Path, log: Path) -> None:
    """The killed process leaves whole lines, or one without its end."""
    command = [sys.executable, "-c", READ_MANY, str(toy_bundle), str(log), "4", "100000"]
    with subprocess.Popen(command, cwd=ROOT) as process:
        wait_until(lambda: log.exists() and log.stat().st_size > 20_000)
        process.send_signal(signal.SIGKILL)
    whole = log.read_bytes()[: log.read_bytes().rindex(b"\n") + 1]
    log.write_bytes(whole + b'{"id": "0123')  # as if it had been killed within a line

    reading = load(toy_bundle, log=log).read(Image.fromarray(IMAGE))
    reading.accepted_by_portal(accepted=True)

    *before, torn, answer, verdict = log.read_bytes().split(b"\n")[:-1]
    assert torn == b'{"id": "0123'
    assert [json.loads(line)["id"] for line in (answer, verdict)] == [reading.id] * 2
    assert len([json.loads(line) for line in before]) > 50


FULL = """
import resource, sys
sys.argv[0] = "reader.py"
import reader
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
made = reader.load(log=sys.argv[1], log_images=True)
for _ in range(5):
    reading = made.read("test-1.png")
    reading.accepted_by_portal(True)
    print(reading.text, made.log.failures)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print(made.read("test-2.png").text, made.log.failures)
"""


def test_a_full_disk_costs_lines_and_no_reading(toy_bundle: Path, three_packages: Path, log: Path) -> None:
    """Missing lines are counted and warned of once. With room again, the next line stands alone."""
    done = bundling.bare(three_packages, toy_bundle, "-c", FULL, log)

    assert done.returncode == 0, done.stderr
    printed = [line.split() for line in done.stdout.splitlines()]
    expected = [load(toy_bundle).read(toy_bundle / f"test-{number}.png").text for number in (1, 1, 1, 1, 1, 2)]
    assert [text for text, _ in printed] == expected
    failures = [int(count) for _, count in printed]
    assert failures[3] > 1
    assert failures[5] == failures[4]
    assert done.stderr.startswith(f"The log {log} cannot be written (")
    assert done.stderr.count("\n") == 1
    *whole, torn, last, end = log.read_bytes().split(b"\n")
    assert [json.loads(line)["bundle"] for line in (*whole[:1], last)] == [load(toy_bundle).name] * 2
    with pytest.raises(json.JSONDecodeError):
        json.loads(torn)
    assert end == b""


def test_a_full_disk_leaves_no_half_image(toy_bundle: Path, three_packages: Path, log: Path, tmp_path: Path) -> None:
    """The line says that there is none, and the reading is there."""
    noise = np.random.default_rng(5).integers(0, 256, (100, 100, 3), dtype=np.uint8)
    (tmp_path / "noise.png").write_bytes(encoded(Image.fromarray(noise), "PNG"))
    code = FULL.replace("1000", "20000").replace("test-1.png", str(tmp_path / "noise.png"))

    done = bundling.bare(three_packages, toy_bundle, "-c", code, log)

    assert done.returncode == 0, done.stderr
    assert [line.split()[1] for line in done.stdout.splitlines()] == ["1", "2", "3", "4", "5", "5"]
    answers = [line for line in lines_of(log) if "reading" in line]
    assert [answer["image"] for answer in answers[:5]] == [None] * 5
    assert [path.name for path in images_of(log).iterdir()] == [answers[5]["image"]]


def test_a_folder_that_went_away_costs_no_reading(
    toy_bundle: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The file is still open. Its images are missing."""
    log = tmp_path / "logs" / "readings.jsonl"
    log.parent.mkdir()
    reader = load(toy_bundle, log=log, log_images=True)
    for path in (log, images_of(log)):
        path.rename(tmp_path / path.name)

    reading = reader.read(Image.fromarray(IMAGE))

    (line,) = lines_of(tmp_path / log.name)
    assert (line["id"], line["image"]) == (reading.id, None)
    assert reader.log is not None
    assert reader.log.failures == 1
    assert [record.getMessage() for record in caplog.records] == [
        f"The log {log} cannot be written (No such file or directory)."
    ]


def test_a_folder_that_may_not_be_opened_costs_no_reading(toy_bundle: Path, log: Path) -> None:
    """Someone changed its permissions while the reader ran. The line has no image."""
    reader = load(toy_bundle, log=log, log_images=True)
    images_of(log).chmod(0)

    with ordinary_rights():
        reading = reader.read(Image.fromarray(IMAGE))

    (line,) = lines_of(log)
    assert (line["id"], line["image"]) == (reading.id, None)
    assert reader.log is not None
    assert reader.log.failures == 1


OTHERS = {"manifest": b'{\n "format": 1\n}\n', "database": b"SQLite format 3\0"}


def _placed(tmp_path: Path, kind: str) -> str:
    path = tmp_path / kind
    if kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/null")
    elif kind in OTHERS:
        path.write_bytes(OTHERS[kind])
    elif kind == "images":
        path.with_name("images.images").write_bytes(b"")
    return {"missing": str(path / "readings.jsonl"), "NUL": "a\0b"}.get(kind, str(path))


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("folder", "cannot be written (Is a directory)."),
        ("fifo", "is not a file. Give the name of a file."),
        ("device", "is not a file. Give the name of a file."),
        ("images", "cannot be written (File exists)."),
        ("missing", "cannot be written (No such file or directory)."),
        ("NUL", "cannot be written (embedded null byte)."),
        ("manifest", "is a file of another kind. Give a new name."),
        ("database", "is a file of another kind. Give a new name."),
    ],
)
def test_a_file_that_cannot_be_a_log_is_refused(toy_bundle: Path, tmp_path: Path, kind: str, sentence: str) -> None:
    """Before the first image is read. A FIFO does not block, and no line damages another file."""
    given = _placed(tmp_path, kind)
    before = Path(given).read_bytes() if kind in OTHERS else b""

    with pytest.raises(BundleError) as refusal:
        load(toy_bundle, log=given, log_images=True)

    assert str(refusal.value) == f"The log {given} {sentence}"
    assert kind not in OTHERS or Path(given).read_bytes() == before


def test_a_system_without_file_locks_reads_without_a_log(toy_bundle: Path, three_packages: Path, log: Path) -> None:
    """Windows has none."""
    start = "import sys; sys.modules['fcntl'] = None; import reader; made = reader.load({}); "
    read = "print(made.read('test-1.png').text)"

    plain = bundling.bare(three_packages, toy_bundle, "-c", start.format("") + read)
    logged = bundling.bare(three_packages, toy_bundle, "-c", start.format(f"log={str(log)!r}") + read)

    assert (plain.returncode, len(plain.stdout.strip())) == (0, 2), plain.stderr
    assert logged.stderr.endswith("BundleError: A log needs Linux or macOS.\n")
    assert not log.exists()


def test_a_verdict_may_come_from_another_place(reader: Reader, log: Path) -> None:
    """A copied reading, as another process would get it, has the same id and log."""
    reading = copy.deepcopy(reader.read(Image.fromarray(IMAGE)))

    reading.accepted_by_portal(accepted=True)

    assert [line["id"] for line in lines_of(log)] == [reading.id] * 2


def test_every_failure_of_threads_is_counted(reader: Reader, log: Path) -> None:
    """A full device takes the place of the file."""
    assert reader.log is not None
    with Path("/dev/full").open("wb") as full:
        os.dup2(full.fileno(), reader.log._file.fileno())

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(reader.read_all, [[IMAGE]] * 200))

    assert reader.log.failures == 200
    assert log.read_bytes() == b""
