"""Readers from a folder, a zip or a run, and what is refused."""

import io
import shutil
import zipfile
from pathlib import Path

import pytest

from core.errors import SlotlabError
from core.model.predictor import Predictor
from core.runs.bundles import zip_bytes
from core.runs.targets import RunTarget, is_bundle, open_bundle
from tests.helpers import bundling, toy


def packed(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def test_a_zip_of_a_bundle_is_the_bundle(toy_bundle: Path, tmp_path: Path) -> None:
    """Also if its files lie in the root of the zip. Nothing is left of the unpacked files."""
    flat = {path.name: path.read_bytes() for path in toy_bundle.iterdir()}
    (tmp_path / "made.zip").write_bytes(zip_bytes(toy_bundle))
    (tmp_path / "flat.zip").write_bytes(packed(flat))

    targets = [open_bundle(path) for path in (toy_bundle, tmp_path / "made.zip", tmp_path / "flat.zip")]

    assert all(map(is_bundle, (toy_bundle, tmp_path / "made.zip")))
    assert len({target.name for target in targets}) == 1


def _hostile(toy_bundle: Path) -> dict[str, bytes]:
    """Return zips of something else."""
    files = {path.name: path.read_bytes() for path in toy_bundle.iterdir()}
    climbing = files | {"../../outside": b"x"}
    deep = {f"a/b/{name}": data for name, data in files.items()}
    whole = packed(files)
    return {
        "empty": packed({}),
        "foreign": packed({"a.png": b"x"}),
        "climbing": packed(climbing),
        "deep": packed(deep),
        "torn": whole[: len(whole) // 2],
        "changed": packed(files | {"model.onnx": b"x"}),
        "noise": b"noise",
        "many": packed(files | {f"{number}": b"" for number in range(200)}),
    }


@pytest.mark.parametrize("kind", ["empty", "foreign", "climbing", "deep", "torn", "changed", "noise", "many"])
def test_another_zip_is_refused_in_one_sentence(toy_bundle: Path, tmp_path: Path, kind: str) -> None:
    """Nothing is written outside a temporary folder."""
    path = tmp_path / "in" / "a.zip"
    path.parent.mkdir()
    path.write_bytes(_hostile(toy_bundle)[kind])

    with pytest.raises(SlotlabError) as refusal:
        open_bundle(path)
    assert str(refusal.value).endswith(".")
    assert "\n" not in str(refusal.value)
    assert [found.name for found in tmp_path.rglob("*")] == ["in", "a.zip"]


def test_a_damaged_manifest_with_the_right_hash_is_refused(toy_bundle: Path, tmp_path: Path) -> None:
    """A bundle may come from someone else."""
    bundle = shutil.copytree(toy_bundle, tmp_path / "bundle")
    bundling.change_manifest(bundle, views=None)

    with pytest.raises(SlotlabError, match=r"^The manifest of this bundle is damaged\.$"):
        open_bundle(bundle)


def test_the_name_of_a_run_changes_with_its_answers(toy_run: toy.Trained) -> None:
    """So readings with other views are never mixed in one file."""
    predictor = Predictor.load(toy_run.folder)
    names = [RunTarget(predictor, "0001-fast", tta=tta, is_blind=lambda _: False).name for tta in (None, False, True)]

    assert names[0] == names[1] != names[2]
