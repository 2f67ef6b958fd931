"""The bench of a bundle in short form, and that it notices what it looks for."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench import bundle, quiet
from bench.bundle import bare_environment, compare, figures_of, main, measure, missed, not_timed
from bench.cells import CellError
from bench.one_image import INT8, MODEL, WARMUPS, rendered, timed
from bench.tables.bundles import bundles_table, one_image_table
from core.charset import TextSpec
from core.home import Home
from core.readers.readers import available
from tests.helpers.bundling import change_manifest
from tests.helpers.trained import RUN

SPEC = TextSpec(3, "0123")


@pytest.mark.long
@pytest.mark.usefixtures("trained")
def test_a_bundle_is_made_and_measured(home: Home) -> None:
    """It reads as the run does. Every reader is timed, and the bundle stays in the folder."""
    result = measure(home, RUN, quick=True)

    made = home.bundles / result["bundle"]
    assert result["path"] == str(made)
    assert sum(filter(None, result["bytes"].values())) == sum(path.stat().st_size for path in made.iterdir())
    assert (result["equal"]["n"], result["equal"]["differing"][MODEL]) == (100, 0)
    general = {name for name, installed in available().items() if installed}
    assert general | {MODEL} <= result["one_image"].keys() <= general | {MODEL, INT8}
    for each in result["one_image"].values():
        assert each["n"] == 20
        assert 0 < each["ms"]["p50"] <= each["ms"]["p90"] <= each["ms"]["p99"]
        assert each["cpu_ms"] > 0
    assert result["start"]["from_process_s"] > result["start"]["from_import_s"] > 0
    assert result["figures"].keys() == bundle.MOST.keys() | bundle.LEAST.keys()


def test_answers_that_differ_from_the_run_are_counted(bundled_home: Home, tmp_path: Path) -> None:
    """A bundle with another charset reads each image differently."""
    run, made = bundled_home.run(RUN), bundled_home.bundles / "0002-bundle"
    other = shutil.copytree(made, tmp_path / "bundle")
    change_manifest(other, charset="abcd")

    equal, different = compare(run, made, 20), compare(run, other, 20)

    assert (equal["n"], equal["differing"][MODEL]) == (20, 0)
    assert different["differing"][MODEL] == 20


def test_readers_take_turns_and_another_one_begins_each_time() -> None:
    """The first images are not counted."""
    calls = list[tuple[str, bytes]]()

    def reader(name: str, answer: str) -> object:
        return lambda data: calls.append((name, data)) or answer

    readers = {"a": reader("a", "1"), "b": reader("b", "2")}
    found = timed(readers, [("1", b"%d" % index) for index in range(WARMUPS + 4)])  # type: ignore[arg-type]

    assert [(each["n"], each["right"]) for each in found.values()] == [(4, 4), (4, 0)]
    assert calls[-4:] == [("a", b"12"), ("b", b"12"), ("b", b"13"), ("a", b"13")]


def test_few_texts_give_many_images() -> None:
    """There are 64 texts. The next 64 images are drawn differently."""
    images = list(rendered(130, SPEC))

    assert len({text for text, _ in images}) == 64
    assert len({data for _, data in images}) == 130


def test_a_reader_that_cannot_be_timed_is_named() -> None:
    """It is a package that is missing, or an INT8 model that would change answers."""
    assert not_timed({"rapidocr": True, "ddddocr": True}, int8_changed=0) == []
    assert not_timed({"rapidocr": True, "ddddocr": False}, int8_changed=2) == [
        "Reader ddddocr is not installed: make readers.",
        "There is no INT8 model. It would change 2 validation answers.",
    ]


def test_an_installation_that_fails_is_one_sentence(tmp_path: Path) -> None:
    """Without a package registry, the size is not measured."""
    with pytest.raises(CellError, match=r"^The size of numpy, .* was not measured: pip exited with code 2\.$"):
        bare_environment(tmp_path / "bare", "--no-such-option")


def test_a_run_that_is_missing_is_one_sentence(
    bundled_home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """So is a folder without a database."""
    for folder, sentence in ((bundled_home.root, "There is no run or job '99'"), (tmp_path, "There is no database")):
        monkeypatch.setattr(sys, "argv", ["bundle", str(folder), "99", "--quick"])

        assert main() == 1
        assert capsys.readouterr().err.splitlines()[-1].startswith(f"python -m bench.bundle: {sentence}")


def test_other_work_makes_the_machine_busy() -> None:
    """A process that has not ended is other work."""
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as process:
        with quiet.watched() as figures:
            time.sleep(1)
        process.kill()

    assert figures["other_cores"] > quiet.QUIET
    assert quiet.described(figures).startswith("busy: other work took ")


# Targets and tables


def made_up() -> dict[str, object]:
    """Return a result like that of `measure`, which meets all targets."""
    times = {"n": 100, "ms": {"p50": 2.0, "p90": 2.5, "p99": 3.0}, "cpu_ms": 2.0, "right": 99}
    result: dict[str, object] = {
        "run": "0001-fast",
        "bytes": {"model": 2_000_000, "int8": None, "rest": 100_000},
        "equal": {"n": 1000, "views": 1, "differing": {MODEL: 0}},
        "one_image": {MODEL: times, "ddddocr": times | {"ms": {"p50": 24.0, "p90": 25.0, "p99": 26.0}}},
        "start": {"from_import_s": 0.4},
        "installed_bytes": None,
        "machine": {"load_before": 0.2, "load_after": 1.0, "other_cores": 0.05, "quiet": True},
    }
    return result | {"figures": figures_of(result), "missed": missed(figures_of(result))}


def test_targets_are_met_up_to_their_limit() -> None:
    """A figure that was not measured misses none."""
    assert made_up()["missed"] == []
    assert missed(dict(bundle.MOST) | dict(bundle.LEAST) | {"int8_mb": None}) == []
    over = {name: value + 0.1 for name, value in bundle.MOST.items()} | {"times_faster": 4.9}
    assert missed(over) == list(over)


def test_figures_that_miss_their_target_are_bold() -> None:
    """A table names what was not measured."""
    result = json.loads(json.dumps(made_up()))

    good, bad = ({"demo": result | {"missed": names}} for names in ([], ["model_mb", "model_p99_ms", "differing"]))

    assert "**" not in bundles_table(good) + one_image_table(good)
    assert "| `demo`, 0001-fast | **2.00 MB** | none | 0.10 MB | **1,000/1,000 = 100.0%" in bundles_table(bad)
    assert "| `demo` | bundle | 2.00 ms | 2.50 ms | **3.00 ms** | 2.00 ms | 99/100 = 99.0%" in one_image_table(bad)
    assert "| 12.0 times |  |" in one_image_table(bad)
    slow = result["one_image"] | {"ddddocr": result["one_image"]["ddddocr"] | {"ms": {"p50": 9, "p90": 9, "p99": 9}}}
    assert "| **4.5 times** |" in one_image_table({"demo": result | {"one_image": slow}})
    assert "quiet: other work took 0.05 cores, load 0.2" in one_image_table(bad)
    assert "not run" in bundles_table({})
    assert "not run" in one_image_table({})
