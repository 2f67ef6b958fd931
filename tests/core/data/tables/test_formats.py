"""Label tables of every program that people use give the same rows."""

import csv
import io
import json

import pytest

from core.charset import TextSpec
from core.data.tables import formats
from core.data.tables.formats import ContradictionError, Table, check_bytes, read_table
from core.data.tables.mapping import propose
from core.data.tables.matching import FileIndex
from core.errors import AmbiguousLabelsError, ImportSourceError, OptionError

FOUR = TextSpec(4, "0123456789")
FILES = ["0.png", "1.png", "2.png"]
LABELS = {"0.png": "0420", "1.png": "1234", "2.png": "9999"}


def labels(data: bytes, spec: TextSpec = FOUR, **options: str) -> dict[str, str | None]:
    """Return the labels of a table by the files that it means."""
    table = read_table("t", data, options.pop("separator", None))
    files = FileIndex(FILES)
    columns = propose(table, files, spec, **options)
    return {files.find(columns.file_of(row))[0]: columns.label_of(row) for row in table.rows()}


def lines(separator: str, header: str | None, form: str = "{}") -> bytes:
    rows = [separator.join((form.format(name), label)) for name, label in LABELS.items()]
    return "\n".join(([header] if header else []) + rows).encode()


def task(name: str, *texts: str, **more: object) -> dict[str, object]:
    result = [{"from_name": "text", "type": "textarea", "value": {"text": [text]}} for text in texts]
    return {"id": 7, "data": {"ocr": name, "note": "x"}, "annotations": [{"result": result, **more}], "predictions": []}


LABEL_STUDIO = [task(f"/data/upload/1/{at}1a2b3c4-{name}", label) for at, (name, label) in enumerate(LABELS.items())]
DELIMITED = {
    "comma": lines(",", "filename,label"),
    "semicolon": lines(";", "filename;label"),
    "bar": lines("|", "image|text"),
    "tab (PaddleOCR rec_gt.txt)": lines("\t", None, "train/{}"),
    "tab (dddd_trainer labels.txt)": lines("\t", None),
    "blank": lines(" ", None),
    "comma and blank (ICDAR)": lines(", ", None),
    "no header": lines(",", None),
    "image,text": lines(",", "image,text"),
    "id,label": b"id,label\n0,0420\n1,1234\n2,9999\n",
    "image_path,plate_text": lines(",", "image_path,plate_text", "images/{}"),
    "filepath,plate_text": lines(",", "filepath,plate_text", "/mnt/c/{}"),
    "file_name,text": lines(",", "file_name,text"),
    "unknown names": lines(";", "Bild;Ablesung"),
    "label first": b"label,filename\n0420,0.png\n1234,1.png\n9999,2.png\n",
    "one column a position": b"file;d1;d2;d3;d4\n0.png;0;4;2;0\n1.png;1;2;3;4\n2.png;9;9;9;9\n",
    "one column a position, as numbers": b"file,d1,d2,d3,d4\n0.png,0.0,4.0,2.0,0.0\n1.png,1,2,3,4\n2.png,9,9,9,9\n",
    "one column a position, no header": b"0.png\t0\t4\t2\t0\n1.png\t1\t2\t3\t4\n2.png\t9\t9\t9\t9\n",
    "other columns": b"n,filename,split,label,score\n1,0.png,a,0420,.5\n2,1.png,a,1234,.5\n3,2.png,b,9999,.5\n",
    "a class beside the text": b"image,label,text\n0.png,meter,0420\n1.png,meter,1234\n2.png,meter,9999\n",
    "Label Studio CSV": b"ocr,id,label,annotator,annotation_id,lead_time\n"
    + b"".join(
        b"/data/upload/1/0a1b2c3d-%s,%d,%s,1,100%d,3.5\n" % (name.encode(), at, label.encode(), at)
        for at, (name, label) in enumerate(LABELS.items())
    ),
    "PPOCRLabel": "".join(
        f"images/{name}\t{json.dumps([{'transcription': label, 'points': [[0, 0], [9, 0]]}])}\n"
        for name, label in LABELS.items()
    ).encode(),
    "Python": b"# labels\nlabels = {'0.png': '0420', '1.png': '1234', \"2.png\": 9999}\n",
    "Python without a name": b"{'0.png': '0420', '1.png': '1234', '2.png': '9999'}",
    "JSON dict": json.dumps(LABELS, indent=1).encode(),
    "JSON dict on one line": json.dumps(LABELS).encode(),
    "JSON dict of objects": json.dumps({name: {"text": label} for name, label in LABELS.items()}).encode(),
    "JSON list": json.dumps([{"file_name": name, "text": label} for name, label in LABELS.items()]).encode(),
    "JSON list of pairs": json.dumps([*LABELS.items()]).encode(),
    "JSON list in an object": json.dumps({"data": [{"img": n, "gt": label} for n, label in LABELS.items()]}).encode(),
    "metadata.jsonl": "".join(
        json.dumps({"file_name": name, "text": label}) + "\n" for name, label in LABELS.items()
    ).encode(),
    "our JSON lines": "".join(
        json.dumps({"name": name, "label": label, "split": "val", "flag": None, "kind": "person", "owner": "1"}) + "\n"
        for name, label in LABELS.items()
    ).encode(),
    "Label Studio JSON": json.dumps(LABEL_STUDIO).encode(),
    "Label Studio local files": json.dumps(
        [task(f"/data/local-files/?d=photos%2F{name}", label) for name, label in LABELS.items()]
    ).encode(),
    "Label Studio JSON-MIN": json.dumps(
        [{"image": f"http://host/upload/0a1b2c3d-{n}?t=1", "id": 1, "text": [label]} for n, label in LABELS.items()]
    ).encode(),
}  # fmt: skip


@pytest.mark.parametrize("form", DELIMITED)
def test_a_table_is_read_as_it_is(form: str) -> None:
    """Files, labels, leading zeros and all."""
    assert labels(DELIMITED[form]) == LABELS


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_spreadsheet_may_choose_the_encoding(encoding: str, newline: str) -> None:
    """Excel writes UTF-16 with tabs, or UTF-8 with a mark."""
    text = newline.join(["filename\tlabel", *(f"{name}\t{label}" for name, label in LABELS.items()), ""])

    assert labels(text.encode(encoding)) == LABELS


def test_text_that_is_not_utf_8_is_that_of_western_windows() -> None:
    """Excel still writes it. Names would not be found otherwise."""
    table = read_table("t", "filename;label\ncafé.png;0001\n".encode("cp1252"))

    assert [row.cells for row in table.rows()] == [["café.png", "0001"]]
    with pytest.raises(ImportSourceError, match=r"t is not text in UTF-8, UTF-16 or Windows-1252"):
        read_table("t", b"filename,label\n\x81.png,0001\n")


def test_old_spreadsheets_end_lines_with_a_carriage_return() -> None:
    assert labels(b"filename,label\r0.png,0420\r1.png,1234\r2.png,9999\r") == LABELS


def test_fields_are_text_exactly_as_written() -> None:
    """Pandas would read 00123 as 123.0, 1E5 as 100000.0, NULL as missing and TRUE as a boolean."""
    values = ["00123", "1E5", "NULL", "NA", "TRUE", " 12", "12 ", "", "１２", "1,2", 'a"b', "1\n2", "nan", "0x1F"]
    buffer = io.StringIO(newline="")
    csv.writer(buffer, quoting=csv.QUOTE_ALL).writerows(
        [("filename", "label"), *((f"{number}.png", value) for number, value in enumerate(values))]
    )
    numbers = '[{"name": "0.png", "label": 0.10}, {"name": "1.png", "label": 12345678901234567890123}]'

    assert [row.cells[1] for row in read_table("t", buffer.getvalue().encode()).rows()] == values
    assert [row.cells[1] for row in read_table("t", numbers.encode()).rows()] == ["0.10", "12345678901234567890123"]


def test_tasks_without_an_answer_have_no_label_and_two_answers_fit_nothing() -> None:
    """Label Studio exports tasks that nobody did, and those that two people did differently."""
    tasks = [task("0.png"), task("1.png", "1234", was_cancelled=True), task("2.png", "1234", "9999")]

    assert labels(json.dumps(tasks).encode()) == {"0.png": None, "1.png": None, "2.png": "1234 | 9999"}


# Ambiguous


@pytest.mark.parametrize(
    ("data", "option", "answer"),
    [
        (b"x,text,code\n0.png,0420,1111\n1.png,1234,2\n2.png,9999,3333\n", "--label-column", {"label_column": "text"}),
        (b"0.png,1111,0420\n1.png,2222,1234\n2.png,3333,9999\n", "--label-column", {"label_column": "3"}),
        (b"a,b,c\n0.png,1.png,0420\n1.png,2.png,1234\n2.png,0.png,9999\n", "--file-column", {"file_column": "a"}),
        (b"0.png;1,a.png\n1.png;2,b.png\n", "--separator", {"separator": "comma"}),
    ],
)  # fmt: skip
def test_what_can_be_read_in_two_ways_names_the_option_that_decides(
    data: bytes, option: str, answer: dict[str, str]
) -> None:
    """The right column is never a guess."""
    with pytest.raises(AmbiguousLabelsError, match=option):
        labels(data)

    if option != "--separator":
        assert labels(data, **answer) == LABELS
    else:
        assert [row.cells[1] for row in read_table("t", data, "comma").rows()] == ["a.png", "b.png"]


def test_two_columns_of_the_same_labels_are_one() -> None:
    assert labels(b"image,text,label\n0.png,0420,0420\n1.png,1234,1234\n2.png,9999,9999\n") == LABELS


def test_columns_can_be_named_in_any_way() -> None:
    """By name, by number, or as one for each position."""
    data = b"a;b;c;d;e\n0.png;0;4;2;0\n1.png;1;2;3;4\n2.png;9;9;9;9\n"

    assert labels(data, label_column="b,c,d,e", file_column="1") == LABELS
    for column in ("x", "6", "0", "b,x"):
        with pytest.raises(OptionError, match=r"has no column '[x60]'\. It has: a, b, c, d, e"):
            labels(data, label_column=column)
    with pytest.raises(OptionError, match=r"'colon' is not a separator\. Choose from tab, comma"):
        read_table("t", data, "colon")


# Refused


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "is empty"),
        (b" \n\n", "is empty"),
        (b"PK\3\4rest", "a workbook, not a label table. Save the sheet as CSV"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "NUL characters"),
        (b"filename,label\n0.png,0000\x0001\n", "NUL characters"),
        (b"0420\n1234\n", "needs a column for the file and one for the label"),
        (b"filename,label\n0.png,0001\n1.png,0002,x\n", "line 3 has 3 fields instead of 2"),
        (b"filename,label\n0.png\n", "line 2 has 1 fields instead of 2"),
        (b'filename,label\n"0.png,0001\n1.png,0002\n', "line 3 is not valid CSV"),
        (b'filename,label\n"0"b.png,0001\n', "line 2 is not valid CSV"),
        (b"filename,label\n" + b"x" * 200_000 + b",0001\n", "line 2 is not valid CSV"),
        (b"filename,label,label\n0.png,1,2\n", "has the column label more than once"),
        (b'{"0.png": "0420",', "is not valid JSON"),
        (b"[" * 100_000, "is nested too deeply|is not valid JSON"),
        (b'{"name": "0.png", "label": "0420"}\n{"name": \n', "line 2 is not a JSON object"),
        (b"[]", "has no labels"),
        (b"[1, 2]", "entry 1 is not an object"),
        (b"labels = {'a': open('/etc/passwd')}", r"is not a dict in Python \(ValueError\)"),
        (b"labels = {" + b"(" * 10_000, "is not a dict in Python"),
        (b"labels = {'a': 1" + b" " * formats.MAX_PYTHON_BYTES, "more than 4,194,304 bytes of Python"),
        (b"note,remark\nseen,today\n", "No column of t names the files"),
    ],
)
def test_a_table_that_could_be_misread_is_refused_with_the_place(data: bytes, reason: str) -> None:
    """Columns are never shifted, and nothing is run."""
    with pytest.raises(ImportSourceError, match=reason) as caught:
        labels(data)

    assert "t" in str(caught.value).split()


@pytest.mark.parametrize(
    ("bound", "value", "data", "reason"),
    [
        ("MAX_TABLE_BYTES", 30, b"filename,label\n" + b"0.png,1\n" * 2, "more than 30 bytes"),
        ("MAX_TABLE_ROWS", 2, b"filename,label\n" + b"0.png,1\n" * 2, "more than 2 lines"),
        ("MAX_TABLE_ROWS", 1, b'[{"file": "0.png", "label": "1"}, {}]', "more than 1 entries"),
        ("MAX_TABLE_ROWS", 1, b'{"file": "0.png", "label": "1"}\n' * 2, "more than 1 lines"),
        ("MAX_TABLE_COLUMNS", 3, b"filename,label,x,y\n", "has 4 columns. Use at most 3"),
        ("MAX_TABLE_COLUMNS", 1, b'[{"file": "0.png", "label": "1"}]', "has 2 columns. Use at most 1"),
    ],
)
def test_a_table_is_bounded(monkeypatch: pytest.MonkeyPatch, bound: str, value: int, data: bytes, reason: str) -> None:
    """A table of 192 MB would cost 2.5 GB of memory."""

    def rows(table: Table) -> int:
        return sum(1 for _ in table.rows())

    rows(read_table("t", data))
    monkeypatch.setattr(formats, bound, value)

    with pytest.raises(ImportSourceError, match=reason):
        rows(read_table("t", data))


@pytest.mark.parametrize("start", [b"filename,label\n", b"\xff\xfef\0i\0", b"caf\xe9;1", b"{"])
def test_the_start_of_a_table_is_checked_at_once(start: bytes) -> None:
    """The job reads the rest."""
    check_bytes("t", start)


@pytest.mark.parametrize(
    "data",
    [
        b'{"0.png": "0420", "0.png": "1234"}',
        b'{"file": "0.png", "text": "0420"}\n{"file": "1.png", "text": "1", "text": "1234"}\n',
        b"labels = {'0.png': '0420', '0.png': 1234}",
        b"{'0.png': '0420', '0.png': '1234'}",
    ],
)
def test_one_key_with_two_labels_is_refused(data: bytes) -> None:
    """The newest would count silently. The same label twice is read."""
    with pytest.raises(ContradictionError, match=r"gives (0\.png|text) a different label than before"):
        labels(data)


@pytest.mark.parametrize("data", [b'{"0.png": "0420", "0.png": "0420"}', b"x = {'0.png': '0420', '0.png': '0420'}"])
def test_one_key_twice_with_one_label_is_read(data: bytes) -> None:
    assert labels(data) == {"0.png": "0420"}


def test_positions_stand_in_the_order_of_their_numbers() -> None:
    """The order of the columns was taken."""
    assert labels(b"file,d1,d10,d2,d3\n0.png,0,9,4,2\n") == {"0.png": "0429"}


def test_positions_beside_a_column_that_fits_ask() -> None:
    """Notes of one digit won over the label."""
    table = b"file,kennzeichen,blur,noise,lines,rot\n0.png,0420,1,0,2,1\n1.png,1234,0,0,1,1\n"
    with pytest.raises(AmbiguousLabelsError, match=r"kennzeichen, or blur,noise,lines,rot together"):
        labels(table)

    assert labels(table, label_column="kennzeichen") == {"0.png": "0420", "1.png": "1234"}
