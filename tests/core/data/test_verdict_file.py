"""Files of verdicts: logs and tables, and what is wrong with their lines."""

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from core.charset import TextSpec
from core.data import verdict_file
from core.data.verdict_file import GivenVerdict, Line, VerdictFile, read_image
from core.errors import ImageError, ImportSourceError
from core.images.pixels import decode, pixel_hash
from db.answers import NewAnswer
from tests.helpers.pictures import png
from tests.helpers.rights import ordinary_rights

SPEC = TextSpec(3, "0123456789")
SHA = "ab" * 32
VERDICT = {"id": "1" * 32, "time": "2026-03-01T12:00:00.123Z", "sha256": SHA, "text": "123", "accepted": True}
READING = {"text": "123", "confidence": 0.75, "accepted": None, "unfamiliar": None}
ANSWER = {"id": "1" * 32, "time": VERDICT["time"], "bundle": "b1", "sha256": SHA, "reading": READING, "look": None}


def lines_of(tmp_path: Path, content: bytes | str, name: str = "verdicts.csv") -> list[Line]:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return list(VerdictFile(path, SPEC).read())


def only(tmp_path: Path, values: dict[str, Any]) -> Line:
    """Return the line of an object, between two good ones."""
    good = json.dumps(VERDICT)
    before, line, after = lines_of(tmp_path, "\n".join((good, json.dumps(values), good)))
    assert [(each.number, each.problem) for each in (before, after)] == [(1, None), (3, None)]
    return line


def test_a_log_has_answers_and_verdicts(tmp_path: Path) -> None:
    """Images lie in a folder beside the log."""
    answer = ANSWER | {"look": [1.5, 2], "image": "a.png"}
    first, second = lines_of(tmp_path, f"{json.dumps(answer)}\n{json.dumps(VERDICT | {'reason': None})}\n", "log.jsonl")

    assert first.given == NewAnswer(
        key="1" * 32, sha256=SHA, reader="b1", text="123", confidence=0.75, accepted=None, unfamiliar=None,
        distance=1.5, surprise=2.0, at="2026-03-01T12:00:00+00:00",
    )  # fmt: skip
    assert first.image == tmp_path / "log.jsonl.images" / "a.png"
    assert second.given == GivenVerdict(
        key="1" * 32, sha256=SHA, text="123", accepted=True, reason=None, at="2026-03-01T12:00:00+00:00"
    )


@pytest.mark.parametrize("start", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("delimiter", [",", "\t"])
def test_a_table_names_its_columns(tmp_path: Path, start: str, end: str, delimiter: str) -> None:
    """Spreadsheets write a byte order mark and other ends of lines. Empty lines are skipped, other columns ignored."""
    rows = [["Text", "sha256", "accepted", "note", "reason"], ["123", SHA.upper(), "Yes", "x", ""], [],
            ["456", SHA, "0", '"a ""quoted"" one"', "captcha"]]  # fmt: skip
    content = start + end.join(delimiter.join(row) for row in rows) + end

    first, second = lines_of(tmp_path, content)

    assert (first.number, second.number) == (2, 4)
    assert first.given == GivenVerdict(key=None, sha256=SHA, text="123", accepted=True, reason=None, at=None)
    assert second.given == GivenVerdict(key=None, sha256=SHA, text="456", accepted=False, reason="captcha", at=None)


@pytest.mark.parametrize(
    ("given", "accepted"),
    [(True, True), (1, True), ("1", True), ("true", True), (" YES ", True),
     (False, False), (0, False), ("0", False), ("False", False), ("no", False)],
)  # fmt: skip
def test_the_portal_says_yes_or_no(tmp_path: Path, given: object, accepted: bool) -> None:
    line = only(tmp_path, VERDICT | {"accepted": given})

    assert isinstance(line.given, GivenVerdict)
    assert line.given.accepted is accepted


@pytest.mark.parametrize(
    ("given", "stored"),
    [("2026-03-01T12:00:00.999Z", "2026-03-01T12:00:00+00:00"), ("2026-03-01 12:00:00", "2026-03-01T12:00:00+00:00"),
     ("2026-03-01T01:00:00+02:00", "2026-02-28T23:00:00+00:00"), ("2026-03-01", "2026-03-01T00:00:00+00:00"),
     ("", None), (None, None)],
)  # fmt: skip
def test_a_time_is_stored_in_utc(tmp_path: Path, given: object, stored: str | None) -> None:
    """A time without a zone is in UTC already."""
    line = only(tmp_path, VERDICT | {"time": given})

    assert isinstance(line.given, GivenVerdict)
    assert line.given.at == stored


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"accepted": "maybe"}, "accepted is neither true nor false"),
        ({"accepted": None}, "accepted is neither true nor false"),
        ({"accepted": 2}, "accepted is neither true nor false"),
        ({"accepted": [1]}, "accepted is neither true nor false"),
        ({"accepted": float("nan")}, "accepted is neither true nor false"),
        ({"sha256": "ab"}, "not a hash of 64"),
        ({"sha256": "g" * 64}, "not a hash of 64"),
        ({"sha256": 7}, "not a hash of 64"),
        ({"sha256": None}, "Neither sha256 nor file"),
        ({"text": None}, "The text is missing"),
        ({"text": 123}, "The text is missing"),
        ({"text": ""}, "has 0 characters; this project uses 3"),
        ({"text": "1234"}, "has 4 characters; this project uses 3"),
        ({"text": "12\ud800"}, "not in the charset"),
        ({"text": "12\x00"}, "not in the charset"),
        ({"text": "9" * 50_000}, "has 50,000 characters"),
        ({"id": "\ud800"}, "id is not a text of at most 200 visible characters"),
        ({"id": "1" * 201}, "id is not a text of at most 200 visible characters"),
        ({"id": 5}, "id is not a text of at most 200 visible characters"),
        ({"reason": "a\nb"}, "reason is not a text"),
        ({"reason": "\x1b[31m"}, "reason is not a text"),
        ({"reason": "captcha"}, "An accepted text has no reason, because only a rejection has one."),
        ({"accepted": "yes", "reason": " late "}, "An accepted text has no reason"),
        ({"time": "yesterday"}, "time is not a time such as"),
        ({"time": 1e400}, "time is not a time such as"),
        ({"time": "0001-01-01T00:00:00+14:00"}, "time is not a time such as"),
        ({"file": "/etc/passwd"}, "outside the folder"),
        ({"file": "../x.png"}, "outside the folder"),
        ({"file": "a/../../x.png"}, "outside the folder"),
        ({"file": "out/x.png"}, "outside the folder"),
        ({"file": "a\x00b"}, "file is not a text"),
        ({"file": ["a"]}, "file is not a text"),
    ],
)
def test_a_bad_verdict_has_a_reason(tmp_path: Path, change: dict[str, Any], problem: str) -> None:
    """The lines around it are read. The folder `out` is a link to another place."""
    (tmp_path / "out").symlink_to("/tmp")

    line = only(tmp_path, VERDICT | change)

    assert line.given is line.image is None
    assert problem in (line.problem or "")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"reading": "123"}, "The reading has no text"),
        ({"reading": READING | {"text": "12"}}, "this project uses 3"),
        ({"reading": READING | {"confidence": 1.5}}, "not a probability"),
        ({"reading": READING | {"confidence": float("inf")}}, "confidence is not a finite number"),
        ({"reading": READING | {"confidence": 10**400}}, "confidence is not a finite number"),
        ({"reading": READING | {"confidence": "0.5"}}, "confidence is not a finite number"),
        ({"reading": READING | {"accepted": "perhaps"}}, "accepted is neither true nor false"),
        ({"reading": READING | {"unfamiliar": "\ud800"}}, "unfamiliar is not a text"),
        ({"look": [1]}, "look is not a pair"),
        ({"look": [1, float("nan")]}, "look is not a finite number"),
        ({"look": [1, None]}, "look is not a finite number"),
        ({"id": None}, "The id is missing"),
        ({"bundle": ""}, "The bundle is missing"),
        ({"sha256": None}, "not a hash of 64"),
        ({"image": "../../x.png"}, "outside the folder"),
        ({"image": "/x.png"}, "outside the folder"),
    ],
)
def test_a_bad_answer_has_a_reason(tmp_path: Path, change: dict[str, Any], problem: str) -> None:
    line = only(tmp_path, ANSWER | change)

    assert line.given is line.image is None
    assert problem in (line.problem or "")


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"\xff\xfe{", "not UTF-8 text (byte 1)"),
        (b'{"text": "1\0"}', "NUL"),
        (b'", "accepted": true}', "not a JSON object"),
        (b"[1]", "not a JSON object"),
        (b'{"n": ' + b"9" * 5000 + b"}", "not a JSON object"),
        (b"[" * 60_000, "not a JSON object"),
        (b'{"a":' * 10_000, "not a JSON object"),
        (b"x" * (verdict_file.MAX_LINE_BYTES + 1), "more than 65,536 bytes"),
        (b"x" * 3_000_000, "more than 65,536 bytes"),
    ],
)
def test_a_bad_line_has_a_reason(tmp_path: Path, data: bytes, problem: str) -> None:
    """Also the first one: a rotated log may begin within a line. The form shows in the first 64 kB."""
    good = json.dumps(VERDICT).encode()
    for place in range(2 if len(data) > verdict_file.MAX_LINE_BYTES - 1000 else 3):
        parts = [good] * 2
        parts.insert(2 - place, data)

        lines = lines_of(tmp_path, b"\n".join(parts))

        assert [line.number for line in lines if line.problem is None] == [n for n in (1, 2, 3) if n != 3 - place]
        assert problem in (lines[2 - place].problem or "")


def test_a_bad_row_has_a_reason(tmp_path: Path) -> None:
    """Fields do not contain line breaks, so a quote that is not closed ends with its line."""
    rows = ["sha256,text,accepted", f"{SHA},123", f'{SHA},"123,yes', f"{SHA},123,yes,", f"{SHA},123,yes"]

    *bad, good = lines_of(tmp_path, "\n".join(rows))

    assert [(line.number, line.problem) for line in bad[::2]] == [
        (2, "The line has 2 fields instead of 3."), (4, "The line has 4 fields instead of 3."),
    ]  # fmt: skip
    assert "not valid CSV" in (bad[1].problem or "")
    assert good.problem is None


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"sha256,text\n", "text, accepted, and sha256 or file"),
        (b"text,accepted\n", "text, accepted, and sha256 or file"),
        (b"sha256,text,text,accepted\n", "names a column twice"),
        (b"hello\n", "text, accepted, and sha256 or file"),
        (b"\x89PNG\r\n\x1a\n", "not UTF-8 text"),
        ("sha256,text,accepted\n".encode("utf-16"), "not UTF-8 text"),
        (b'"sha256,text,accepted\n', "not valid CSV"),
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path: Path, content: bytes, problem: str) -> None:
    """One sentence says why, and no line is read."""
    with pytest.raises(ImportSourceError, match=r"^verdicts.csv is not a file of verdicts\. ") as error:
        lines_of(tmp_path, content)

    assert problem in str(error.value)


@pytest.mark.parametrize("content", ["", "\n\n", "sha256,text,accepted\n"])
def test_a_file_without_verdicts_has_no_lines(tmp_path: Path, content: str) -> None:
    """A reader that has read nothing yet leaves an empty log."""
    assert lines_of(tmp_path, content) == []


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    """A FIFO would block, and a device has no end."""
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "secret").write_text(json.dumps(VERDICT))
    (tmp_path / "secret").chmod(0)
    for name in ("fifo", "missing", ".", "/dev/zero"):
        with pytest.raises(ImportSourceError, match="cannot be read"):
            VerdictFile(tmp_path / name, SPEC)
    with ordinary_rights(), pytest.raises(ImportSourceError, match="cannot be read"):
        VerdictFile(tmp_path / "secret", SPEC)


def test_files_that_are_too_large_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In bytes, without reading them, or in lines."""
    path = tmp_path / "large.jsonl"
    with path.open("wb") as file:
        file.truncate(verdict_file.MAX_FILE_BYTES + 1)
    began = time.process_time()
    with pytest.raises(ImportSourceError, match="more than 1,073,741,824 bytes"):
        VerdictFile(path, SPEC)
    assert time.process_time() - began < 1

    monkeypatch.setattr(verdict_file, "MAX_LINES", 2)
    assert len(lines_of(tmp_path, f"{json.dumps(VERDICT)}\n" * 2)) == 2
    with pytest.raises(ImportSourceError, match="more than 2 lines"):
        lines_of(tmp_path, f"{json.dumps(VERDICT)}\n" * 3)


def test_lines_that_a_reader_appends_meanwhile_wait(tmp_path: Path) -> None:
    """The file is read as long as it was at first. The last line needs no end."""
    path = tmp_path / "log.jsonl"
    path.write_text(f"{json.dumps(VERDICT)}\n{json.dumps(VERDICT)}")
    file = VerdictFile(path, SPEC)
    with path.open("a") as log:
        log.write(f"\n{json.dumps(VERDICT)}\n")

    assert [(line.number, line.problem) for line in file.read()] == [(1, None), (2, None)]


def test_an_image_that_cannot_be_read_has_a_reason(tmp_path: Path) -> None:
    """The reason contains no path."""
    (tmp_path / "a.png").write_bytes(png(1))
    (tmp_path / "link.png").symlink_to(tmp_path / "a.png")
    (tmp_path / "text.png").write_text("123")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "large.png").write_bytes(bytes(5_000_000))
    os.mkfifo(tmp_path / "fifo.png")
    sha256 = pixel_hash(decode(png(1)))

    assert read_image(tmp_path / "a.png", sha256).sha256 == read_image(tmp_path / "a.png", None).sha256 == sha256
    for name, problem in (
        ("missing.png", "No such file"),
        ("link.png", "link or a special file"),
        ("fifo.png", "link or a special file"),
        ("text.png", "not a PNG"),
        ("large.png", "bytes"),
        ("folder.png", "folder"),
        ("n" * 300 + ".png", "File name too long"),
    ):
        with pytest.raises(ImageError, match=problem) as error:
            read_image(tmp_path / name, None)
        assert str(tmp_path) not in str(error.value)
    with pytest.raises(ImageError, match="another hash"):
        read_image(tmp_path / "a.png", SHA)
