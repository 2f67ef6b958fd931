"""The bench of killed batches in short form, and that it notices what it looks for."""

import argparse
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bench.cells import CellError
from bench.reliability import batch
from bench.reliability.batch import check, files_of, main, measure
from bench.tables.bundles import batch_table
from bench.ui import million
from core.home import Home


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_killed_batch_has_every_file_once(
    bundled_home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command and one of its processes are killed. Each reading is that of a batch without a kill."""
    monkeypatch.setattr(million, "RENDERS", 50)
    options = argparse.Namespace(files=2000, kills=2, seed=0, int8=False)

    result = measure(bundled_home.bundles / "0001-bundle", tmp_path, options)

    assert result["wrong"] == []
    assert result["kills"] == {"command": 1, "worker": 1}
    rate = result["without_kills"]
    assert (result["files"], rate["files"], rate["failed"], result["compared"]) == (2000, 1000, 0, 1000)
    assert rate["cpu_seconds"] > 0
    assert rate["peak_mb"] > 50


def part_of(folder: Path, rows: list[tuple[str, str]], number: int = 1) -> None:
    """Write a part with files and texts."""
    folder.mkdir(exist_ok=True)
    table = [
        {"file": file, "text": text, "confidence": 0.5, "accepted": None, "unfamiliar": None, "sha256": "0"}
        for file, text in rows
    ]
    pq.write_table(pa.Table.from_pylist(table), folder / f"part-{number:05}.parquet")


@pytest.fixture
def outputs(tmp_path: Path) -> tuple[Path, Path, Path, Path]:
    """Images, the first of them again, and the output of each. All are right."""
    folder, part = tmp_path / "images", tmp_path / "part"
    for path in (folder / "a.png", folder / "b.png", part / "a.png"):
        path.parent.mkdir(exist_ok=True)
        path.touch()
    part_of(tmp_path / "whole", [(f"{part}/a.png", "12")])
    part_of(tmp_path / "killed", [(f"{folder}/a.png", "12"), (f"{folder}/b.png", "34")])
    return folder, part, tmp_path / "whole", tmp_path / "killed"


@pytest.mark.parametrize(
    ("names", "text", "expected"),
    [
        ("ab", "12", []),
        ("a", "12", ["1 files are missing"]),
        ("aab", "12", ["1 files are there twice"]),
        ("abc", "12", ["1 files were never given"]),
        ("ab", "13", ["1 files have another reading"]),
    ],
)
def test_each_contradiction_is_found(
    outputs: tuple[Path, Path, Path, Path], names: str, text: str, expected: list[str]
) -> None:
    """Nothing else is reported."""
    folder, killed = outputs[0], outputs[3]
    part_of(killed, [(f"{folder}/{name}.png", text) for name in names])

    assert [sentence.partition(",")[0].partition(" than")[0] for sentence in check(*outputs)] == expected


def test_half_written_files_are_found(outputs: tuple[Path, Path, Path, Path]) -> None:
    """A temporary file may not stay, and every part must be whole."""
    killed = outputs[3]
    (killed / ".part-00002.parquet.x.tmp").touch()
    assert check(*outputs) == ["1 half-written files are left"]

    (killed / "part-00002.parquet").write_bytes((killed / "part-00001.parquet").read_bytes()[:-9])
    with pytest.raises(CellError, match="A part of the output is damaged"):
        files_of(killed)


def test_a_folder_without_a_bundle_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before any image is written."""
    monkeypatch.setattr(sys, "argv", ["batch", str(tmp_path), "--quick"])
    with pytest.raises(SystemExit):
        main()

    assert capsys.readouterr().err.endswith(f"{tmp_path} is not the folder of a bundle\n")


def test_the_table_shows_what_is_wrong_in_bold() -> None:
    """So is a rate below the target."""
    machine = {"load_before": 2.5, "load_after": 2.5, "other_cores": 1.0, "quiet": False}
    result: dict[str, Any] = {
        "int8": False, "jobs": 2, "files": 100_000, "seconds_with_kills": 300.4, "compared": 20_000,
        "kills": {"command": 3, "worker": 3}, "wrong": [],
        "without_kills": {
            "images_a_second": 610.2, "images_a_cpu_second": 320.0, "peak_mb": 250.0, "machine": machine,
        },
    }  # fmt: skip
    slow = result["without_kills"] | {"images_a_cpu_second": batch.TARGET - 1.0}

    row = "| float | 610 by 2 processes | 320 | 250 MB | 3 command, 3 worker | 100,000, in 300 s | 20,000 | 0 | busy: "
    assert batch_table({"batch": result}).splitlines()[-1].startswith(row)
    assert "| **299** |" in batch_table({"batch": result | {"without_kills": slow}})
    assert "| **1** | busy" in batch_table({"batch": result | {"wrong": ["1 files are missing"]}})
    assert "not run" in batch_table({"service": result})
