"""The labels of an import: every table and naming that people have, or the option that decides."""

import json
import os
import zipfile
from pathlib import Path

import pytest

from core.charset import TextSpec
from core.data import label_book
from core.data.label_book import GivenLabel, LabelBook, LabelOptions, check_table
from core.data.tables.formats import ContradictionError
from core.errors import AmbiguousLabelsError, ImportSourceError, LabelError, OptionError
from tests.helpers.pictures import write_files

SIX, FOUR, ONE = (TextSpec(length, "0123456789") for length in (6, 4, 1))


def book_of(tmp_path: Path, text: str, *names: str, spec: TextSpec = SIX, **options: str | bool) -> LabelBook:
    (tmp_path / "labels.csv").write_text(text, encoding="utf-8", newline="")
    return LabelBook(str(tmp_path / "labels.csv"), spec, list(names), options=LabelOptions(**options))  # type: ignore[arg-type]


def texts(book: LabelBook, names: list[str]) -> list[str | None]:
    """Return the label of each file, None also where it is refused."""
    found: list[str | None] = []
    for name in names:
        try:
            found.append(given.text if (given := book.label_of(name)) else None)
        except LabelError:
            found.append(None)
    return found


# Labels in names


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("123456.png", "123456"),
        ("000123.jpeg", "000123"),
        ("sub/folder/123456.png", "123456"),
        ("123456_af31.png", "123456"),
        ("123456_af31_2.png", "123456"),
        ("123456-af31.png", "123456"),
        ("123456 (2).png", "123456"),
        ("123456 copy.png", "123456"),
        ("123456.png.jpg", "123456"),
        ("7-123456.jpg", "123456"),
        ("123456", "123456"),
        ("123456.old.png", None),
        ("12345.png", None),
        ("1234567.png", None),
        ("12345a.png", None),
        ("１２３４５６.png", None),
        (".png", None),
    ],
)
def test_a_file_name_gives_its_label(name: str, label: str | None) -> None:
    """Labels that do not fit are refused, never cut or padded."""
    book = LabelBook("filename", SIX, [name])
    if label is None:
        with pytest.raises(LabelError):
            book.label_of(name)
    else:
        assert book.label_of(name) == GivenLabel(label)


def test_names_that_fit_in_two_ways_ask_and_each_answer_is_taken() -> None:
    """The id came first, and 1000, 1001 ... became labels."""
    names = ["1000_4323.jpg", "1001_5186.jpg"]
    with pytest.raises(AmbiguousLabelsError, match=r"1000 \(--labels start\) or 4323 \(--labels end\)"):
        LabelBook("filename", FOUR, names)

    assert texts(LabelBook("start", FOUR, names), names) == ["1000", "1001"]
    assert texts(LabelBook("end", FOUR, names), names) == ["4323", "5186"]
    for rule in ("auto", "filename"):
        by_pattern = LabelBook(rule, FOUR, names, options=LabelOptions(pattern="*_{label}"))
        assert texts(by_pattern, names) == ["4323", "5186"]
    with pytest.raises(OptionError, match="A pattern describes names"):
        LabelBook("none", FOUR, names, options=LabelOptions(pattern="{label}"))


def test_a_folder_for_each_class_is_offered() -> None:
    """The number of the file was the label before."""
    names = ["4/1.jpg", "4/2.jpg", "5/1.jpg"]
    with pytest.raises(AmbiguousLabelsError, match="--labels folder"):
        LabelBook("filename", ONE, names)

    assert texts(LabelBook("folder", ONE, names), names) == ["4", "4", "5"]


def test_a_watched_folder_never_decides_by_its_newest_files() -> None:
    """The next batch could decide otherwise."""
    names = ["7-1234.jpg"]

    assert texts(LabelBook("filename", FOUR, names, decides=False), names) == [None]


def test_without_a_rule_there_are_no_labels() -> None:
    """Names that look like labels may mean anything, but a preview says so."""
    for rule in ("none", "auto"):
        book = LabelBook(rule, SIX, ["123456.png"])

        assert book.label_of("123456.png") is None
        assert list(book.unmatched()) == []
        assert [warning for warning in book.preview().warnings if "--labels filename" in warning] == (
            ["The names of the files fit as labels. Use --labels filename if they are."] * (rule == "auto")
        )


# Labels in a table


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("9999 ", None),
        ("'9999", None),
        ("9999.0", None),
        ("0999", None),
        ("999", "Spreadsheets remove leading zeros"),
        ("99999", "has 5 characters"),
    ],
)
def test_a_label_is_cleaned_or_refused_for_its_image_only(tmp_path: Path, given: str, reason: str | None) -> None:
    """The other rows are valid."""
    book = book_of(tmp_path, f"filename,label\na.png,{given}\nb.png,0002\n", "a.png", "b.png", spec=FOUR)

    assert book.label_of("b.png") == GivenLabel("0002")
    if reason is None:
        assert book.label_of("a.png") == GivenLabel(given.strip(" '").removesuffix(".0"))
    else:
        with pytest.raises(LabelError, match=reason):
            book.label_of("a.png")


def test_the_case_of_letters_is_a_choice(tmp_path: Path) -> None:
    table, spec = "filename,label\na.png,ab1c\n", TextSpec(4, "ABC123")

    refused = book_of(tmp_path, table, "a.png", spec=spec)
    assert refused.preview().warnings == ["1 label would fit in the other case of letters (--fold-case)."]
    with pytest.raises(LabelError, match="--fold-case"):
        refused.label_of("a.png")
    assert book_of(tmp_path, table, "a.png", spec=spec, fold_case=True).label_of("a.png") == GivenLabel("AB1C")


def test_a_table_names_an_image_by_its_path_or_its_last_part(tmp_path: Path) -> None:
    """The last part is enough only if one file has that name, or one has it exactly."""
    book = book_of(
        tmp_path, "filename,label\na.png,000001\nsub/b.png,000002\nc.png,000003\n", "x/a.png", "sub/b.png", "c.png",
        "other/c.png", "d.png",
    )  # fmt: skip

    assert [book.label_of(name) for name in ("x/a.png", "sub/b.png", "c.png", "other/c.png", "d.png")] == [
        GivenLabel("000001"), GivenLabel("000002"), GivenLabel("000003"), None, None,
    ]  # fmt: skip
    assert list(book.unmatched()) == []


@pytest.mark.parametrize(
    "path", ["images/0.jpg", "./0.jpg", "images\\0.jpg", "/srv/set/0.jpg", "0.JPG", "C:\\x\\0.jpg"]
)
def test_a_table_made_elsewhere_finds_its_files(tmp_path: Path, path: str) -> None:
    """The last part is unique in the folder."""
    assert book_of(tmp_path, f"filename,label\n{path},000001\n", "0.jpg").label_of("0.jpg") == GivenLabel("000001")


def test_nothing_is_guessed_where_a_row_could_mean_several_images(tmp_path: Path) -> None:
    """Two folders have a file of this name, or two zip members have the same path."""
    table = "filename,label\na.png,000001\ngone.png,000002\nb.png,000003\n"
    book = book_of(tmp_path, table, "x/a.png", "y/a.png", "b.png", "b.png")

    assert [book.label_of(name) for name in ("x/a.png", "y/a.png", "b.png")] == [None, None, None]
    assert [name for name, _ in book.unmatched()] == ["a.png", "gone.png", "b.png"]


def test_two_rows_for_one_file_must_agree(tmp_path: Path) -> None:
    """An exact path wins over a similar one."""
    table = (
        "filename,label\nx/a.png,000001\na.png,000002\ny/b.png,000003\nz/b.png,000004\ny/c.png,000005\nz/c.png,000005\n"
    )
    book = book_of(tmp_path, table, "a.png", "b.png", "c.png")

    assert texts(book, ["a.png", "b.png", "c.png"]) == ["000002", None, "000005"]
    with pytest.raises(LabelError, match="The table has two labels for this file: '000003' and '000004'"):
        book.label_of("b.png")


def test_a_row_without_a_label_is_not_a_problem(tmp_path: Path) -> None:
    """Half a table is done, and the rest is labeled later."""
    book = book_of(tmp_path, "filename,label\na.png,\nb.png,000002\n", "a.png", "b.png")

    assert texts(book, ["a.png", "b.png"]) == [None, "000002"]
    assert book.preview().refused == 0


def test_a_table_may_name_the_kind_of_each_label(tmp_path: Path) -> None:
    """An empty kind is that of a file without the column."""
    table = "label,kind,filename\n000001,readers,a.png\n000002, person,b.png\n000003,,c.png\n"
    book = book_of(tmp_path, table, "a.png", "b.png", "c.png")

    assert [book.label_of(name) for name in ("a.png", "b.png", "c.png")] == [
        GivenLabel("000001", "readers"), GivenLabel("000002", "person"), GivenLabel("000003", "import"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ("filename,label\na.png,000001\na.png,000002\n", r"line 3 gives a\.png a different label than before"),
        (
            "filename,label,kind\na.png,000001,run\na.png,000001,\n",
            r"line 3 gives a\.png a different label than before",
        ),
        ("filename,label,kind\na.png,000001,robot\n", "line 2 has the kind 'robot'. Use person, import, readers, run"),
        ("filename,label\n" + "x" * 5000 + ".png,1\n", "line 2 has a name or label of more than 4,096 characters"),
        ("filename,label\na.png," + "1" * 5000 + "\n", "line 2 has a name or label of more than 4,096 characters"),
    ],
)
def test_a_table_that_contradicts_itself_is_refused(tmp_path: Path, table: str, reason: str) -> None:
    """The error has the line."""
    with pytest.raises(ImportSourceError, match=reason):
        book_of(tmp_path, table, "a.png")


def test_a_large_table_is_refused_unread(tmp_path: Path) -> None:
    """The file has no blocks on disk, only a size."""
    with (tmp_path / "labels.csv").open("wb") as file:
        file.write(b"filename,label\n")
        file.truncate(10**12)

    with pytest.raises(ImportSourceError, match=r"labels\.csv has more than 67,108,864 bytes"):
        check_table(tmp_path / "labels.csv")


@pytest.mark.timeout(20)
def test_only_a_file_is_a_table(tmp_path: Path) -> None:
    """A FIFO would block, and a device has no end."""
    os.mkfifo(tmp_path / "fifo")
    reasons = {tmp_path / "fifo": "Not a regular", Path("/dev/zero"): "Not a regular", tmp_path: "Is a directory"}
    for path, reason in reasons.items():
        with pytest.raises(ImportSourceError, match=reason):
            check_table(path)
        with pytest.raises(ImportSourceError, match=reason):
            LabelBook(str(path), SIX, ["a.png"])


def test_a_table_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    """The path may be missing, a folder, or not a rule."""
    for rule in (tmp_path / "missing.csv", tmp_path, "filenames"):
        with pytest.raises(ImportSourceError, match=r"label file .* cannot be read"):
            LabelBook(str(rule), SIX, ["a.png"])


# Tables in the folder or zip

NAMES = ["train/0.png", "train/1.png", "test/0.png"]


def source_of(tmp_path: Path, files: dict[str, bytes], *, zipped: bool) -> Path:
    if not zipped:
        return write_files(tmp_path / "set", files)
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return tmp_path / "set.zip"


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize(
    "tables",
    [
        {"rec_gt_train.txt": "train/0.png\t0420\ntrain/1.png\t1234\n", "rec_gt_test.txt": "test/0.png\t9999\n"},
        {
            "train/metadata.jsonl": '{"file_name": "0.png", "text": "0420"}\n{"file_name": "1.png", "text": "1234"}\n',
            "test/metadata.csv": "file_name,text\n0.png,9999\n",
        },
        {"deep/labels.json": json.dumps({"train/0.png": "0420", "train/1.png": "1234", "test/0.png": "9999"})},
    ],
)
def test_tables_beside_the_images_are_found(tmp_path: Path, tables: dict[str, str], zipped: bool) -> None:
    """PaddleOCR has two in one folder, and an imagefolder one in each. Notes and lists of classes are none."""
    notes = {
        "readme.txt": b"These are images\nof meters\n",
        "classes.txt": b"0\n1\n2\n",
        "config.json": b'{"a": {"b": 1}}',
    }
    source = source_of(tmp_path, notes | {name: text.encode() for name, text in tables.items()}, zipped=zipped)

    book = LabelBook("auto", FOUR, NAMES, source)

    assert texts(book, NAMES) == ["0420", "1234", "9999"]
    assert [name for name in tables if name not in book.preview().origin] == []
    assert texts(LabelBook("none", FOUR, NAMES, source), NAMES) == [None, None, None]


@pytest.mark.parametrize("named", [0, 4, 5])
def test_the_table_of_a_large_set_labels_the_few_images_beside_it(tmp_path: Path, named: int) -> None:
    """The images at hand are the last of its rows. It is not theirs if it names fewer than one in ten."""
    names = [f"{number}.png" for number in range(50)]
    rows = [f"other {number}.png,1111" for number in range(600)] + [f"{name},0420" for name in names[:named]]
    source = source_of(tmp_path, {"all.csv": "\n".join(["filename,label", *rows]).encode()}, zipped=False)

    book = LabelBook("auto", FOUR, names, source)

    assert texts(book, names) == ["0420"] * (named if named == 5 else 0) + [None] * (45 if named == 5 else 50)
    assert ("600 rows of the table have no file." in book.preview().warnings) == (named == 5)


@pytest.mark.parametrize("zipped", [False, True])
def test_tables_that_disagree_ask_and_one_can_be_chosen(tmp_path: Path, zipped: bool) -> None:
    """The option takes a name inside the folder or zip."""
    tables = {"old.csv": b"filename,label\ntrain/1.png,1111\n", "new.csv": b"filename,label\ntrain/1.png,1234\n"}
    source = source_of(tmp_path, tables, zipped=zipped)

    with pytest.raises(AmbiguousLabelsError, match=r"old\.csv label train/1\.png differently.*--labels"):
        LabelBook("auto", FOUR, NAMES, source)
    assert LabelBook("old.csv", FOUR, NAMES, source).label_of("train/1.png") == GivenLabel("1111")


@pytest.mark.parametrize(
    "readings",
    [
        "file,text,confidence,accepted,unfamiliar,positions,blind,error,reader\ntrain/1.png,1234,0.9,true,,,,,run 1\n",
        '{"file": "train/1.png", "text": "1234", "confidence": 0.9, "accepted": true}\n',
    ],
)
def test_readings_beside_the_images_never_label_them(tmp_path: Path, readings: str) -> None:
    """They would be labels of people, also of validation and test images. Another column of the table may be one."""
    source = source_of(tmp_path, {"readings.txt": readings.encode()}, zipped=False)

    book = LabelBook("auto", FOUR, NAMES, source)
    assert texts(book, NAMES) == [None, None, None]
    assert "Skipped readings.txt. readings.txt has readings instead of labels." in book.preview().warnings[0]
    for rule in ("readings.txt", str(source / "readings.txt")):
        with pytest.raises(ImportSourceError, match=r"readings\.txt has readings instead of labels"):
            LabelBook(rule, FOUR, NAMES, source)
    (source / "readings.txt").write_text("file,text,confidence,mine\ntrain/1.png,1234,0.9,4321\n")
    chosen = LabelBook("auto", FOUR, NAMES, source, LabelOptions(label_column="mine"))
    assert texts(chosen, NAMES) == [None, "4321", None]


def test_a_table_beside_images_labels_only_its_folder(tmp_path: Path) -> None:
    """The image 5.png of June was deleted, and July has one of that name."""
    names = ["june/1.png", "july/5.png", "july/6.png", "june/6.png"]
    table = b"filename,label\n1.png,0001\n5.png,0005\njuly/6.png,0006\n"
    source = source_of(tmp_path, {"june/labels.csv": table}, zipped=False)

    for rule in ("auto", "june/labels.csv"):
        book = LabelBook(rule, FOUR, names, source)
        assert texts(book, names) == ["0001", None, None, None]
        assert [key for key, _ in book.unmatched()] == ["5.png", "july/6.png"]


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ("filename,label\ntrain/1.png,1234\ntrain/0.png,0420,1\n", "labels.csv line 3 has 3 fields instead of 2."),
        ('{"train/1.png": "1234",\n "train/0.png" "0420"}', "labels.csv is not valid JSON"),
    ],
)
def test_a_damaged_table_beside_the_images_is_named(tmp_path: Path, table: str, reason: str) -> None:
    """The import would only say that the images get no labels."""
    files = {"labels.csv": table.encode(), "note.txt": b"a, b\nc\n", "config.json": b"{'a': }"}
    book = LabelBook("auto", FOUR, NAMES, source_of(tmp_path, files, zipped=False))

    assert [name for name, _ in book.skipped()] == ["labels.csv"]
    assert book.preview().warnings[0].startswith(f"Skipped labels.csv. {reason}")


@pytest.mark.parametrize("table", [b"file,x;label\n0,a;0420\n1,b;1234\n", b'{"train/0.png": "1",\n"train/0.png": "2"}'])
def test_a_table_beside_the_images_that_asks_stops_the_import(tmp_path: Path, table: bytes) -> None:
    """Its separator is open, or it has two labels for one name."""
    source = source_of(tmp_path, {"labels.txt": table}, zipped=False)

    with pytest.raises((AmbiguousLabelsError, ContradictionError), match=r"labels\.txt (can be divided|gives train/0)"):
        LabelBook("auto", FOUR, NAMES, source)


def test_a_table_above_the_limit_of_a_preview_is_named(tmp_path: Path) -> None:
    """The import has another limit, and takes its labels."""
    source = source_of(tmp_path, {"labels.csv": b"filename,label\ntrain/1.png,1234\n"}, zipped=False)

    preview = LabelBook("auto", FOUR, NAMES, source, table_bytes=20).preview()

    assert preview.warnings == ["Skipped labels.csv. labels.csv is too large for a preview. The import reads it."]


@pytest.mark.timeout(10)
def test_only_files_are_tables_of_a_folder(tmp_path: Path) -> None:
    """A FIFO would block, and a link may lead out of the folder."""
    folder = write_files(tmp_path / "set", {"x.png": b""})
    write_files(tmp_path, {"secret.csv": b"filename,label\nx.png,0420\n"})
    os.mkfifo(folder / "fifo.csv")
    (folder / "link.csv").symlink_to(tmp_path / "secret.csv")

    assert LabelBook("auto", FOUR, ["x.png"], folder).label_of("x.png") is None


# Preview


def test_a_preview_has_the_first_labels_and_what_would_be_refused(tmp_path: Path) -> None:
    """Counts cover all files, rows the first five with a label."""
    names = [f"{number}.png" for number in range(8)]
    rows = "".join(f"{number}.png,{number * 1111:04}\n" for number in range(7)).replace("2222", "222")
    preview = book_of(tmp_path, f"filename,label\n{rows}gone.png,0001\n", *names, spec=FOUR).preview()

    assert (preview.files, preview.labels, preview.refused) == (8, 6, 2)
    assert [row[:2] for row in preview.rows] == [
        ("0.png", "0000"), ("1.png", "1111"), ("2.png", None), ("3.png", "3333"), ("4.png", "4444"),
    ]  # fmt: skip
    assert "'222' has 3 characters" in str(preview.rows[2][2])
    assert [name for name, _ in preview.reasons] == ["2.png", "gone.png"]
    assert preview.origin == "Labels come from labels.csv (CSV)."
    assert preview.warnings == []


@pytest.mark.parametrize(
    ("labels", "warning"),
    [
        ([f"{number}" for number in range(1000, 1020)], "The labels count up, from 1000 to 1019."),
        (["4323"] * 20, "All 20 labels are '4323'."),
        (
            [f"{number}" for number in range(10_000, 90_000, 4000)],
            "20 labels of 5 characters: the project uses 4. A new project can have the text length 5.",
        ),
    ],
)
def test_a_preview_warns_of_what_is_probably_wrong(tmp_path: Path, labels: list[str], warning: str) -> None:
    """The import is possible all the same."""
    names = [f"{letter}.png" for letter in "abcdefghijklmnopqrst"]
    rows = "".join(f"{name},{label}\n" for name, label in zip(names, labels, strict=True))
    preview = book_of(tmp_path, f"filename,label\n{rows}", *names, spec=FOUR).preview()

    assert [text for text in [*preview.warnings, preview.length_note] if text.startswith(warning)] != []
    assert not preview.is_numbering


@pytest.mark.parametrize(
    ("rule", "names", "note"),
    [
        ("filename", [f"{number}.png" for number in (10_000, 21_000, 32_000)], "3 labels of 5 characters"),
        ("filename", ["1234.png", "2345.png", "34567.png"], ""),
        ("filename", [f"IMG_{number}.png" for number in (10_000, 21_000, 32_000)], ""),
        ("auto", [f"{number}.png" for number in range(10_000, 90_000, 4000)], "20 names of 5 characters"),
        ("auto", [f"{number}.png" for number in range(10_000, 10_020)], ""),
        ("auto", [f"{number}.png" for number in range(1000, 9000, 400)], ""),
        ("auto", [f"{number}.png" for number in (10_000, 21_000, 32_000)], ""),
    ],
)
def test_names_may_have_another_length_than_the_project(
    tmp_path: Path, rule: str, names: list[str], note: str
) -> None:  # fmt: skip
    """Few names, counted names and names with other characters say nothing."""
    found = LabelBook(rule, FOUR, names, tmp_path).preview().length_note

    expected = f"{note}: the project uses 4. A new project can have the text length 5." if note else ""
    assert found == expected


def test_names_that_count_up_are_numbering_until_a_pattern_says_otherwise() -> None:
    names = [f"{number}.jpg" for number in range(1000, 1060)]

    assert LabelBook("filename", FOUR, names).preview().is_numbering
    assert not LabelBook("filename", FOUR, names, options=LabelOptions(pattern="{label}")).preview().is_numbering


def test_many_tables_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tables nearest to the root are read."""
    monkeypatch.setattr("core.data.sources.MAX_TABLES", 1)
    tables = {"a.csv": b"filename,label\nx.png,0001\n", "0/b.csv": b"filename,label\ny.png,0002\n"}
    names = ["x.png", "y.png"]

    assert texts(LabelBook("auto", FOUR, names, write_files(tmp_path, tables)), names) == ["0001", None]
    assert label_book.SHOWN == 5
