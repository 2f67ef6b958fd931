"""Labels in names: where they stand, and how to see that they are something else."""

import hashlib
import re

import pytest

from core.charset import TextSpec
from core.data.tables.naming import decided, end, folder, look_like_numbering, pattern, start, stem_of
from core.errors import AmbiguousLabelsError, LabelError, OptionError

ONE, FOUR = TextSpec(1, "0123456789"), TextSpec(4, "0123456789")


@pytest.mark.parametrize(
    "name",
    [
        "4323.png", "4323-af31.png", "4323_af31.png", "4323_af31_2.png", "4323 (1).jpg", "4323 copy.jpg",
        "4323 copy 2.jpg", "4323 - Copy.jpg", "4323 - Copy (2).jpg", "4323(1).jpg", "4323.png.jpg",
        "4323_af31 (1).png.jpg", "sub/4323.PNG", "4323",
    ],
)  # fmt: skip
def test_the_label_stands_at_the_start(name: str) -> None:
    """Systems mark copies in their own ways, and downloads add a suffix."""
    assert start(FOUR)(name) == "4323"


@pytest.mark.parametrize("name", ["4323.png", "1000_4323.jpg", "7-4323.jpg", "a/b_7-4323.jpg", "7_4323 (1).png.jpg"])
def test_the_label_stands_at_the_end(name: str) -> None:
    assert end(FOUR)(name) == "4323"


def test_the_length_ends_a_label_that_has_the_separator_in_it() -> None:
    spec = TextSpec(5, "ab_.-1")

    assert [start(spec)(name) for name in ("a_b_1.png", "a_b_1_0f.png", "1.1.1_0f.png")] == ["a_b_1", "a_b_1", "1.1.1"]
    assert end(spec)("0f-a-b_1.png") == "a-b_1"


def test_the_folder_is_the_label() -> None:
    assert [folder(name) for name in ("4/1.jpg", "a/4323/x.png", "x.png")] == ["4", "4323", ""]


@pytest.mark.parametrize(
    ("text", "name", "label"),
    [
        ("{label}", "4323.png", "4323"),
        ("meter-*_{label}", "meter-7_4323.png", "4323"),
        ("*_{label}_*", "a_b_4323_c.png", "4323"),
        ("{label}/*", "x/4323/1.png", "4323"),
        ("{label}*", "43231.png", "4323"),
        ("a.b({label})", "a.b(4323).png", "4323"),
        ("*_{label}", "7_43.png", "43"),
        ("x{label}", "4323.png", None),
        ("*_{label}_*", "y" * 60_000 + "_4323_c.png", "4323"),
        ("*{label}*", "_" * 60_000 + ".png", "____"),
    ],
)
@pytest.mark.timeout(5)
def test_a_pattern_says_where_the_label_stands(text: str, name: str, label: str | None) -> None:
    """Everything but `*` and `{label}` is itself. A text of another length is refused later, with its reason."""
    naming = pattern(text, FOUR)
    if label is None:
        with pytest.raises(LabelError, match=re.escape(f"does not follow the pattern {text}")):
            naming(name)
    else:
        assert naming(name) == label


@pytest.mark.parametrize("text", ["", "x", "{label}{label}", "*{label}**", "{Label}"])
def test_a_pattern_has_one_label_and_few_wildcards(text: str) -> None:
    with pytest.raises(OptionError, match=r"must contain {label} once, and \* at most twice"):
        pattern(text, FOUR)


@pytest.mark.parametrize(
    ("names", "rule"),
    [
        (["4323.png", "5186.png"], "start"),
        (["4323_af31.png", "5186_77.png"], "start"),
        (["4323-af31.png", "5186-77.png"], "start"),
        (["1_4323.png", "2_5186.png"], "end"),
        (["7-4323.png", "8-5186.png"], "end"),
        (["2024/4323.png", "2024/5186.png"], "start"),
        (["x.png", "y.png"], "start"),
        ([], "start"),
    ],
)
def test_names_that_fit_in_one_way_decide(names: list[str], rule: str) -> None:
    """One folder for all says nothing, and names that fit nothing are refused one by one."""
    assert decided(names, FOUR) == rule


@pytest.mark.parametrize(
    ("names", "spec", "options"),
    [
        (["1000_4323.jpg", "1001_5186.jpg"], FOUR, ["--labels start", "--labels end"]),
        (["4/1.jpg", "4/2.jpg", "5/1.jpg"], ONE, ["--labels start", "--labels end", "--labels folder"]),
        (["4323/a.jpg", "5186/b.jpg"], FOUR, ["--labels folder"]),
        (["4_1.jpg", "5_2.jpg"], ONE, ["--labels start", "--labels end"]),
    ],
)
def test_names_that_fit_in_two_ways_ask(names: list[str], spec: TextSpec, options: list[str]) -> None:
    """1000, 1001 ... were imported as labels before, without a sign."""
    with pytest.raises(AmbiguousLabelsError) as caught:
        decided(names, spec)

    assert [option for option in options if option not in str(caught.value)] == []


def test_some_hashes_of_digits_do_not_make_names_ambiguous() -> None:
    """Three in twenty hashes of four characters have only digits."""
    hashes = [hashlib.sha256(b"%d" % number).hexdigest()[:4] for number in range(200)]
    names = [f"{number * 37 % 10_000:04}_{digest}.png" for number, digest in enumerate(hashes)]

    assert sum(map(str.isdecimal, hashes)) > 20
    assert decided(names, FOUR) == "start"


@pytest.mark.parametrize(
    ("labels", "counts_up"),
    [
        ([f"{number}" for number in range(1000, 1060)], True),
        ([f"{number:04}" for number in range(60)], True),
        ([f"{number}" for number in range(1000, 1005)], False),
        ([f"{number * 37 % 10_000:04}" for number in range(60)], False),
        (["1000"] * 60, False),
        (["abcd"] * 60, False),
    ],
)
def test_labels_that_count_up_look_like_numbering(labels: list[str], counts_up: bool) -> None:
    assert look_like_numbering(labels) is counts_up


def test_only_image_suffixes_come_off() -> None:
    """A label may contain a dot."""
    assert [stem_of(name) for name in ("1.1.1_0f.png", "4323.old.png", "a.tar.gz", ".png")] == [
        "1.1.1_0f", "4323.old", "a.tar", "",
    ]  # fmt: skip
