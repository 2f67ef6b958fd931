"""The packages of a machine that has only a bundle."""

from importlib.metadata import distribution
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def three_packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with numpy, pillow, onnxruntime and what these require, and nothing else."""
    folder = tmp_path_factory.mktemp("packages")
    for name in ("numpy", "pillow", "onnxruntime", "flatbuffers", "packaging", "protobuf"):
        made = distribution(name)
        for top in {file.parts[0] for file in made.files or () if file.parts[0] not in ("..", "__pycache__")}:
            if not (folder / top).exists():
                (folder / top).symlink_to(Path(str(made.locate_file(top))).resolve())
    return folder
