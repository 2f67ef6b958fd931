"""`slotlab batch` with real workers: every file once, whatever was killed, and what is refused."""

import json
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from core.bundle.reader import load
from core.errors import JobError
from core.home import Home
from core.images.pixels import decode, encode_png, pixel_hash
from core.runs.batch import run_batch
from core.runs.batch_worker import read_chunk
from core.runs.inputs import Contents, Input
from core.runs.parts import ROWS, Parts, short_hash
from core.runs.targets import open_bundle
from tests.helpers import bundling, toy
from tests.helpers.bad_images import GOOD_TEXT, bad_images, good_images
from tests.helpers.command_line import Slotlab, command_here, refused
from tests.helpers.pictures import write_files
from tests.helpers.repository import ROOT
from tests.helpers.waiting import wait_until


@pytest.fixture
def slotlab(home: Home, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Slotlab:
    """The command in this process. Its workers are processes of their own."""
    return lambda *arguments: command_here(home.root, capsys, monkeypatch, *arguments)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 70 images of the toy portal: more than a chunk."""
    return toy.write_images(tmp_path_factory.mktemp("images") / "new", 70)


def rows_of(folder: Path) -> list[dict[str, Any]]:
    """Return the rows of all parts."""
    rows: list[dict[str, Any]] = []
    for path in sorted(folder.glob("part-*")):
        if path.suffix == ".parquet":
            rows += pq.read_table(path).to_pylist()
        else:
            rows += map(json.loads, path.read_text().splitlines())
    return rows


def names(folder: Path) -> list[str]:
    return sorted(row["file"] for row in rows_of(folder))


@pytest.mark.parametrize("form", ["parquet", "jsonl"])
def test_a_batch_has_the_readings_of_the_bundle(
    slotlab: Slotlab, images: Path, toy_bundle: Path, tmp_path: Path, form: str
) -> None:
    """Two processes read a zip. Every row has the pixel hash of its image."""
    paths, out = sorted(images.iterdir()), tmp_path / "new" / "out"
    with zipfile.ZipFile(tmp_path / "new.zip", "w") as archive:
        for path in paths:
            archive.write(path, path.name)
        archive.writestr("bad.png", b"")

    done = slotlab(
        "batch", toy_bundle, tmp_path / "new.zip", "--out", out, "--jobs", 2, "--format", form, "--json"
    )  # fmt: skip

    record = json.loads(done.stdout)
    assert (done.returncode, record["files"], record["before"], record["failed"]) == (1, 71, 0, 1)
    rows = {row["file"]: row for row in rows_of(out)}
    reader = load(toy_bundle)
    for path in paths:
        row, expected = rows.pop(f"{tmp_path}/new.zip/{path.name}"), reader.read(path)
        assert (row["text"], row["accepted"], row["unfamiliar"]) == (expected.text, None, expected.unfamiliar)
        assert row["confidence"] == pytest.approx(expected.confidence, abs=1e-5)
        assert [each["char"] for each in row["positions"]] == list(expected.text)
        assert row["sha256"] == pixel_hash(decode(path.read_bytes()))
    (bad,) = rows.values()
    assert (bad["sha256"], bad["error"]) == (None, "The file is empty.")
    assert out.stat().st_mode & 0o777 == 0o700


def test_a_second_call_reads_only_what_is_new(
    slotlab: Slotlab, images: Path, toy_bundle: Path, tmp_path: Path
) -> None:  # fmt: skip
    """Also an image that changed under its name, and a file that could not be read before."""
    folder, out = shutil.copytree(images, tmp_path / "in"), tmp_path / "out"
    (folder / "bad.png").write_bytes(b"")
    assert slotlab("batch", toy_bundle, folder, "--out", out, "--jobs", 1).returncode == 1
    before = {path.name: path.read_bytes() for path in out.iterdir()}

    assert slotlab("batch", toy_bundle, folder, "--out", out, "--jobs", 1).returncode == 1
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    new = encode_png(toy.draw("-x", np.random.default_rng(1)))
    for name in ("00.png", "bad.png", "new.png"):
        (folder / name).write_bytes(new)
    done = slotlab("batch", toy_bundle, folder, folder / "*.png", "--out", out, "--jobs", 1)

    assert (done.returncode, done.stdout) == (0, f"{out}: 72 files, 71 of them before.\n")
    added = rows_of(out)[71:]
    assert sorted(row["file"] for row in added) == [f"{folder}/{name}" for name in ("00.png", "bad.png", "new.png")]
    assert {row["text"] for row in added} == {"-x"}


def test_what_has_a_row_is_not_read(images: Path, toy_bundle: Path) -> None:
    """Only the hash of its pixels is computed. With other pixels it is read."""
    one, two = (Input(str(path), str(path)) for path in sorted(images.iterdir())[:2])
    sha256 = pixel_hash(decode(Path(one.path).read_bytes()))
    known = short_hash(sha256).hex()

    rows = read_chunk(open_bundle(toy_bundle), Contents(), [[list(one), known], [list(two), known]])

    assert rows[0] == {"file": one.name, "known": True}
    assert (rows[1]["file"], rows[1]["text"]) == (two.name, "x|")


@pytest.mark.long
def test_kill_9_loses_and_repeats_nothing(slotlab: Slotlab, images: Path, toy_bundle: Path, tmp_path: Path) -> None:
    """Rows of a part stay. The next call reads the rest."""
    out, folder = tmp_path / "out", tmp_path / "in"
    folder.mkdir()
    paths = [folder / f"{index:04}.png" for index in range(ROWS + 300)]
    for index, path in enumerate(paths):
        path.hardlink_to(images / f"{index % 70:02}.png")
    process = subprocess.Popen(
        [sys.executable, "-m", "core.cli", "batch", toy_bundle, "-", "--out", out, "--jobs", "2"],
        cwd=ROOT, env=os.environ | {"SLOTLAB_HOME": str(tmp_path)}, stdin=subprocess.PIPE, stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None
    process.stdin.write("".join(f"{path}\n" for path in paths).encode())
    process.stdin.flush()  # it stays open, so the command waits for more
    wait_until(lambda: any(out.glob("part-*")))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    written, before = {path.name: path.read_bytes() for path in out.glob("part-*")}, len(rows_of(out))
    (out / ".part-00002.parquet.x.tmp").write_bytes(b"torn")  # as if killed within a write

    done = slotlab("batch", toy_bundle, folder, "--out", out, "--jobs", 2)

    assert (done.returncode, done.stdout) == (0, f"{out}: {len(paths):,} files, {before:,} of them before.\n")
    assert ROWS <= before < ROWS + 64
    assert names(out) == list(map(str, paths))
    assert {name: (out / name).read_bytes() for name in written} == written
    assert not list(out.glob("*.tmp"))


def test_bad_files_are_rows_and_the_rest_is_read(
    slotlab: Slotlab, images: Path, toy_bundle: Path, tmp_path: Path
) -> None:  # fmt: skip
    """Cut, foreign, of a giant size, moving, missing, or without a valid name. Good ones are read in every form."""
    bad, good = write_files(tmp_path / "bad", bad_images()), write_files(tmp_path / "good", good_images())
    (bad / os.fsdecode(b"caf\xe9.png")).write_bytes(b"")

    done = slotlab(
        "batch", toy_bundle, bad, good, images, tmp_path / "none.png", tmp_path / "*.gif", "--out", tmp_path / "out",
        "--json",
    )  # fmt: skip

    rows = rows_of(tmp_path / "out")
    failed = [row for row in rows if row["error"]]
    assert (done.returncode, len(rows) - len(failed)) == (1, 70 + len(good_images()))
    assert {row["text"] for row in rows if row["file"].startswith(str(good))} == {GOOD_TEXT}
    assert len(failed) == json.loads(done.stdout)["failed"] - 1 == len(bad_images()) + 2
    assert f"{tmp_path}/*.gif: No file matches this pattern.\n" in done.stderr
    assert all(row["error"].endswith(".") and row["text"] is None for row in failed)
    assert f"{bad}/caf\\udce9.png" in names(tmp_path / "out")
    named = [row for row in failed if f"{row['file']}: {row['error']}\n" in done.stderr]
    assert len(named) == 20  # which of them depends on the order in which the processes answer
    assert f"These are 20 of {len(failed)} files that could not be read. The parts name them all." in done.stderr
    again = slotlab("batch", toy_bundle, bad, good, images, "--out", tmp_path / "out", "--json")
    assert json.loads(again.stdout)["files"] == len(rows)


def test_what_cannot_be_meant_is_refused(
    home: Home, slotlab: Slotlab, images: Path, toy_bundle: Path, tmp_path: Path
) -> None:  # fmt: skip
    """One sentence each, before anything is read."""
    write_files(tmp_path, {"full/notes.txt": b"mine", "file": b"mine"})
    other = shutil.copytree(toy_bundle, tmp_path / "other")
    bundling.change_manifest(other, threshold=0.5)
    out = tmp_path / "out"
    assert slotlab("batch", toy_bundle, images / "0*.png", "--out", out, "--jobs", 1).returncode == 0

    def batch(bundle: object, folder: Path, *options: object) -> subprocess.CompletedProcess[str]:
        return slotlab("batch", bundle, images, "--out", folder, *options)

    refused(batch("1", out), "1 is not a bundle. Make one with `slotlab bundle RUN --out DIR`.")
    refused(batch(toy_bundle, out, "--format", "xml"), "Unknown format 'xml'. Choose one of parquet, jsonl.")
    refused(batch(toy_bundle, out, "--format", "jsonl"), "has readings of another bundle or format.")
    refused(batch(other, out), "has readings of another bundle or format. Give another folder.")
    refused(batch(toy_bundle, tmp_path / "full"), "is not empty. Give the name of a new folder.")
    refused(batch(toy_bundle, tmp_path / "file"), "is not a folder. Give the name of a new one.")
    refused(batch(toy_bundle, home.runs / "x"), "belongs to the Slotlab folder")
    with Parts(tmp_path / "busy", "jsonl", "x"):
        refused(batch(toy_bundle, tmp_path / "busy"), "Wait until it ends.")
    (out / "part-00001.parquet").write_bytes(b"torn")
    refused(batch(toy_bundle, out), "part-00001.parquet is damaged. Delete it, and run again.")


def test_eight_bits_are_another_reader(slotlab: Slotlab, images: Path, toy_bundle: Path, tmp_path: Path) -> None:
    """Their confidences differ, so they are not mixed with the others."""
    if not (toy_bundle / "model-int8.onnx").exists():
        pytest.skip("The toy bundle has no INT8 model here.")

    done = slotlab("batch", toy_bundle, images / "0*.png", "--out", tmp_path / "out", "--jobs", 1, "--int8")

    assert done.returncode == 0, done.stderr
    assert len(rows_of(tmp_path / "out")) == 10
    refused(
        slotlab("batch", toy_bundle, images, "--out", tmp_path / "out"), "has readings of another bundle or format."
    )


def test_a_worker_that_ends_early_is_one_sentence(images: Path, tmp_path: Path) -> None:
    """The system may kill it for memory."""
    inputs = [Input(str(path), str(path)) for path in images.iterdir()]

    with (
        Parts(tmp_path / "out", "jsonl", "x") as parts,
        pytest.raises(JobError, match=r"^A process of the batch ended early\. Run again to continue\.$"),
    ):
        run_batch(inputs, parts, tmp_path / "none", jobs=2, int8=False, show=lambda _: None, note=lambda _: None)


def test_a_worker_needs_no_torch_and_no_database() -> None:
    """It starts once for each core."""
    script = (
        "import sys, core.runs.batch_worker;"
        "print(sorted({'torch', 'timm', 'cv2', 'pandas', 'sqlite3', 'sqlite_utils', 'pyarrow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_a_source_without_files_is_named_and_gets_no_row(
    slotlab: Slotlab, images: Path, toy_bundle: Path, tmp_path: Path
) -> None:
    """A folder, a zip and a pattern can have files next time. Then nothing is left of the first time."""
    new, packed, out = tmp_path / "new", tmp_path / "new.zip", tmp_path / "out"
    new.mkdir()
    packed.write_bytes(b"half a zip")
    sources, image = (new, packed, tmp_path / "*.png"), next(images.iterdir())

    empty = slotlab("batch", toy_bundle, *sources, "--out", out, "--jobs", 1)

    assert (empty.returncode, rows_of(out)) == (1, [])
    assert [line.split(": ")[0] for line in empty.stderr.splitlines()[-3:]] == [str(source) for source in sources]
    assert empty.stdout == f"{out}: 0 files. 3 files could not be read.\n"
    shutil.copy(image, new / "a.png")
    shutil.copy(image, tmp_path / "b.png")
    with zipfile.ZipFile(packed, "w") as archive:
        archive.write(image, "c.png")
    done = slotlab("batch", toy_bundle, *sources, "--out", out, "--jobs", 1)
    assert (done.returncode, done.stdout) == (0, f"{out}: 3 files.\n")
    assert names(out) == sorted(map(str, (new / "a.png", tmp_path / "b.png", packed / "c.png")))
