"""Names in a table find their files, wherever the table was made."""

import pytest

from core.data.tables.matching import FileIndex

FILES = ["images/0.jpg", "a/1.png", "b/1.png", "2.PNG", "c.png", "C.png", "deep/x/3.png", "deep/y/3.png", "4.png"]


@pytest.mark.parametrize(
    ("key", "file"),
    [
        ("images/0.jpg", "images/0.jpg"),
        ("0.jpg", "images/0.jpg"),
        ("./0.jpg", "images/0.jpg"),
        ("images\\0.jpg", "images/0.jpg"),
        ("C:\\data\\images\\0.jpg", "images/0.jpg"),
        ("/mnt/data/0.jpg", "images/0.jpg"),
        ("other/0.jpg", "images/0.jpg"),
        ("0.JPG", "images/0.jpg"),
        ("0", "images/0.jpg"),
        ("2.png", "2.PNG"),
        ("c.png", "c.png"),
        ("C.png", "C.png"),
        ("a/1.png", "a/1.png"),
        ("train/B/1.png", "b/1.png"),
        ("x/3.png", "deep/x/3.png"),
        ("0a1b2c3d-4.png", "4.png"),
        ("/data/upload/3/0a1b2c3d-4.png", "4.png"),
        ("https://host/files/4.png?token=0.jpg", "4.png"),
        ("/data/local-files/?d=some%20where/4.png", "4.png"),
    ],
)
def test_a_name_finds_the_only_file_that_it_can_mean(key: str, file: str) -> None:
    """Another root, separators, case, an upload's prefix, or no suffix."""
    assert FileIndex(FILES).find(key) == [file]


@pytest.mark.parametrize(
    ("key", "count"), [("1.png", 2), ("z/3.png", 2), ("9.png", 0), ("", 0), ("0.png", 0), ("g-4.png", 0)]
)
def test_a_name_that_could_mean_several_files_means_none(key: str, count: int) -> None:
    """Neither does one with another suffix."""
    assert len(FileIndex(FILES).find(key)) == count


def test_two_members_of_a_zip_may_have_one_path() -> None:
    assert len(FileIndex(["a.png", "a.png"]).find("a.png")) == 2
