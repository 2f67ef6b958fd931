"""Rendered text: fonts that have their characters, images that show their text, and nothing shared with the demo."""

import ast
import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.rendered import kept_out as kept_out_style
from bench.rendered import publish as publishing
from bench.rendered.fonts import SETS, SUFFIXES, Font, Glyph, load_fonts
from bench.rendered.licenses import UNKNOWN, count_licenses, license_of
from bench.rendered.made import made_fonts
from bench.rendered.pretrain import Pretraining
from bench.rendered.publish import MAX_BYTES, card_of, readme, write_weights
from bench.rendered.render import VERSION, Renderer, any_size
from bench.rendered.text import roll
from core.images import renderer as demo
from core.model.any_length import AnyLength
from core.model.config import preset
from core.model.init_choice import RENDERED
from core.model.network import Recognizer
from core.model.warm_start import load_rendered, read_any_length, rendered_card
from core.readers.builtin import CHARS
from tests.helpers.pictures import KEPT_OUT

FONTS = Path(demo.__file__).parent / "fonts"
"""Six font files that are in the repository. The styles come from elsewhere."""
BENCH = Path(__file__).parents[2] / "bench" / "rendered"


@pytest.fixture(scope="module")
def fonts() -> list[Font]:
    return load_fonts(FONTS)


def test_fonts_have_every_character(fonts: list[Font]) -> None:
    assert "".join(SETS) == CHARS
    assert len(fonts) == len([path for path in FONTS.iterdir() if path.suffix in SUFFIXES])
    assert all(font.has(SETS[0]) for font in fonts)
    assert sum(font.has(CHARS) for font in fonts) >= 4


def test_copies_and_files_that_are_not_fonts_are_left_out(fonts: list[Font], tmp_path: Path) -> None:
    shutil.copytree(FONTS, tmp_path / "fonts")
    for path in [path for path in (tmp_path / "fonts").iterdir() if path.suffix in SUFFIXES]:
        shutil.copy(path, path.with_name(f"copy-{path.name}"))
    (tmp_path / "damaged.ttf").write_bytes(b"no font")

    assert len(load_fonts(tmp_path)) == len(fonts)


def test_made_fonts_draw_each_digit_differently(fonts: list[Font]) -> None:
    made = made_fonts(fonts, np.random.default_rng(0))

    assert len(made) == 48
    for font in made:
        assert font.has(SETS[0])
        assert len({font.glyphs[char].mask_HW.tobytes() for char in SETS[0]}) == 10


def test_a_digit_between_two_shows_mostly_itself() -> None:
    """So its label is right."""
    font = Font(
        Path("shades"), "shades", {char: Glyph(np.full((20, 10), 10 + int(char), np.uint8), 0) for char in SETS[0]}
    )
    rng = np.random.default_rng(0)
    turned = 0
    for number in range(200):
        shades, counts = np.unique(roll(font, str(number % 10), rng), return_counts=True)
        seen = {int(shade) - 10: int(count) for shade, count in zip(shades, counts, strict=True) if shade}
        assert max(seen, key=seen.__getitem__) == number % 10
        turned += len(seen) > 1
    assert 20 <= turned <= 120


@pytest.mark.parametrize("length", [1, 4, 6, 10])
def test_equal_seeds_give_equal_pixels(fonts: list[Font], length: int) -> None:
    def drawn(seed: int) -> list[np.ndarray]:
        rng, renderer = np.random.default_rng(seed), Renderer(fonts)
        return [renderer.draw(renderer.text(length, rng, CHARS), any_size(length, rng), rng) for _ in range(20)]

    first, again, other = drawn(1), drawn(1), drawn(2)
    assert all(np.array_equal(left, right) for left, right in zip(first, again, strict=True))
    assert not all(
        left.shape == right.shape and (left == right).all() for left, right in zip(first, other, strict=True)
    )
    assert all(image.dtype == np.uint8 and image.shape[2] == 3 for image in first)


def test_the_text_changes_what_is_seen(fonts: list[Font]) -> None:
    """Two texts in the same style differ in some pixels by more than the noise."""
    renderer = Renderer(fonts)
    plain = 0
    for seed in range(100):
        pair = [renderer.draw(text, (48, 160), np.random.default_rng(seed)) for text in ("1111", "8888")]
        plain += bool((np.abs(pair[0].astype(int) - pair[1]).max(axis=2) > 30).sum() > 40)
    assert plain >= 90


def imports_of(path: Path) -> set[str]:
    """Return the modules that a file imports, and `module.name` for each name that it imports from one."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {each.name for each in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{each.name}" for each in node.names} | {str(node.module)}
    return names


def test_nothing_is_shared_with_the_demo_style() -> None:
    for path in BENCH.glob("*.py"):
        assert not [name for name in imports_of(path) if name.startswith(("core.images.renderer", "core.cli"))], path


def test_nothing_is_shared_with_the_style_kept_out_of_training() -> None:
    """Neither renderer imports the other, or anything of the app."""
    kept_out = Path(kept_out_style.__file__)
    assert not [name for name in imports_of(kept_out) if name.startswith(("bench", "core"))]
    for path in set(BENCH.glob("*.py")) - {kept_out}:
        assert not [name for name in imports_of(path) if "kept_out" in name], path


def test_images_kept_out_of_training_are_reproduced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One command makes the files in tests. Their pixels may differ between releases of Pillow, their texts do not."""
    monkeypatch.setattr("sys.argv", ["kept_out", "--out", str(tmp_path / "images")])

    assert kept_out_style.main() == 0

    shipped = {path.name: path.stat().st_size for path in KEPT_OUT.iterdir()}
    assert {path.name for path in (tmp_path / "images").iterdir()} == set(shipped)
    assert sum(shipped.values()) <= 150_000


@pytest.mark.parametrize(("length", "charset", "size"), [(4, SETS[0], (48, 160)), (6, CHARS[:36], (64, 256))])
def test_a_run_that_takes_over_its_part_reads_like_the_whole(length: int, charset: str, size: tuple[int, int]) -> None:
    whole = AnyLength(preset("fast")).eval()
    part = Recognizer(
        positions=length, classes=len(charset), image_size=size, backbone="resnet10t", stride=8, head="query",
        width=256, ink=False, centers=[0.5] * length, sigma=0.1,
    ).eval()  # fmt: skip
    part.load_state_dict(whole.part(length, charset, size))
    images_B3HW = torch.rand(3, 3, *size)

    with torch.inference_mode():
        expected_BPC = whole(images_B3HW, length)[:, :, [CHARS.index(char) for char in charset]]
        torch.testing.assert_close(part(images_B3HW), expected_BPC)


def test_a_stopped_training_continues_with_equal_weights(fonts: list[Font], tmp_path: Path) -> None:
    """The whole training and one in two stretches end alike."""

    def train(folder: Path, steps: int) -> Pretraining:
        folder.mkdir(exist_ok=True)
        training = Pretraining(folder, fonts, images=4 * 4, size=4)
        for _ in range(steps):
            training.train_step()
        training.save()
        return training

    whole = train(tmp_path / "whole", 4)
    train(tmp_path / "parts", 2)
    parts = train(tmp_path / "parts", 2)

    assert parts.step == whole.step == 4
    assert all(torch.equal(value, parts.ema.state_dict()[name]) for name, value in whole.ema.state_dict().items())


def test_training_continues_from_published_weights(fonts: list[Font], tmp_path: Path) -> None:
    """Their images, hours and curve count. The state that it saves is preferred to them."""
    card = rendered_card()
    images = card["images"] + 4 * 64
    training = Pretraining(tmp_path, fonts, images=images)
    training.continue_from(load_rendered(), card)
    published = load_rendered().state_dict()

    assert training.images == card["images"]
    assert all(torch.equal(value, published[name]) for name, value in training.ema.state_dict().items())
    assert [json.loads(line)["images"] for line in training.curve.read_text().splitlines()] == [
        line["images"] for line in card["curve"]
    ]
    training.train_step()
    training.save()
    again = Pretraining(tmp_path, fonts, images=images)
    assert (again.step, again.begin) == (training.step, training.step - 1)
    assert again.seconds > 3600 * card["cpu_hours"]


def test_the_curve_has_a_line_for_each_look(fonts: list[Font], tmp_path: Path) -> None:
    training = Pretraining(tmp_path, fonts, images=8, size=4)
    training.note(training.train_step(), {})
    training.note(training.train_step(), {"quick": [1, 2]})

    lines = [json.loads(line) for line in training.curve.read_text().splitlines()]
    assert [line["images"] for line in lines] == [4, 8]
    assert lines[1]["real"] == {"quick": [1, 2]}


# Publishing


def copyright_of(*paragraphs: str) -> str:
    return "\n\n".join(["Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/", *paragraphs])


@pytest.mark.parametrize(
    ("text", "license_name"),
    [
        (copyright_of("Files: *\nLicense: SIL-OFL-1.1", "Files: debian/*\nLicense: GPL-2+"), "OFL-1.1"),
        (copyright_of("Files: *\nLicense: GPL-3+", "Files: */*.ttf */*.otf\nLicense: MIT\n text"), "MIT"),
        (copyright_of("Files:\n *\nCopyright: 2001\nLicense:\n Expat\n Permission is granted"), "MIT"),
        ("Free under the SIL OPEN FONT LICENSE\nVersion 1.1, and packaged under the GPL", "OFL-1.1"),
        ("the terms of the GNU General Public\nLicense, with a special exception", "GPL with font exception"),
        ("the terms of the GNU General Public\nLicense", "GPL"),
        ("ask the author", "other"),
    ],
)
def test_the_license_of_a_font_is_in_its_copyright_file(text: str, license_name: str) -> None:
    assert license_of("Name-Bold.ttf", text) == license_name


def test_fonts_without_a_package_are_counted_as_such(fonts: list[Font]) -> None:
    assert count_licenses(fonts) == {UNKNOWN: len(fonts)}


def test_the_card_in_the_repository_describes_its_weights() -> None:
    """The README is made from the card."""
    card = json.loads((RENDERED / "card.json").read_text())
    data = (RENDERED / "weights.safetensors").read_bytes()

    assert (card["sha256"], card["bytes"]) == (hashlib.sha256(data).hexdigest(), len(data))
    assert len(data) <= MAX_BYTES
    assert (RENDERED / "README.md").read_text() == readme(card)
    assert sum(card["fonts"]["licenses"].values()) == card["fonts"]["files"]
    assert all(changed == 0 for changed, _ in card["half_precision"].values())


def test_the_model_card_shows_the_curve(fonts: list[Font], tmp_path: Path) -> None:
    """At most twelve lines of it. Lines after the weights were saved are left out."""
    weights = tmp_path / "weights.safetensors"
    write_weights(AnyLength(preset("fast")), weights)
    curve = [
        {"images": 64 * number, "cpu_hours": 0.1, "loss": 1.5, "renderer": 7, "real": {"henan4": [number, 302]}}
        for number in range(1, 101)
    ]
    card = card_of(weights, {"step": 90, "seconds": 7200.0}, curve, fonts, 48)
    rows = [line for line in readme(card).splitlines() if " of 302 |" in line]

    assert len(card["curve"]) == 90
    assert (card["images"], card["cpu_hours"], card["renderer"]) == (5760, 2.0, VERSION)
    assert f"versions {VERSION} and 7 of" in readme(card)
    assert len(rows) == 12
    assert rows[-1] == "| 5,760 | 1.50 | 90 of 302 |"


@pytest.mark.parametrize(
    ("changes", "limit", "sentence"),
    [
        ({"henan4": [1, 302]}, MAX_BYTES, "half precision must not change a reading"),
        ({"henan4": [0, 302]}, 1000, "the limit is 1,000"),
    ],
)
def test_changed_readings_and_large_files_are_not_published(
    fonts: list[Font], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    changes: dict[str, list[int]], limit: int, sentence: str,
) -> None:  # fmt: skip
    """The counts are printed, and nothing is written."""
    training = Pretraining(tmp_path, fonts, images=8, size=4)
    training.save()
    monkeypatch.setattr(publishing, "count_changes", lambda *_: changes)
    monkeypatch.setattr(publishing, "MAX_BYTES", limit)
    arguments = ["publish", "--work", tmp_path, "--data", tmp_path, "--out", tmp_path / "out"]
    monkeypatch.setattr("sys.argv", [str(argument) for argument in arguments])

    assert publishing.main() == 1
    output = capsys.readouterr()
    assert f"henan4: half precision changes {changes['henan4'][0]} of 302 readings" in output.out
    assert sentence in output.err
    assert not (tmp_path / "out").exists()


def test_half_precision_keeps_vectors(tmp_path: Path) -> None:
    """Variances of norms may be smaller than half precision can hold."""
    model = AnyLength(preset("fast"))
    torch.nn.init.constant_(model.recognizer.neck[0].weight, 1e-9)
    write_weights(model, tmp_path / "weights.safetensors")
    stored = read_any_length(tmp_path / "weights.safetensors")[0].state_dict()

    assert torch.equal(stored["recognizer.neck.0.weight"], model.recognizer.neck[0].weight)
    for name, value in model.state_dict().items():
        torch.testing.assert_close(stored[name], value, rtol=1e-3, atol=1e-7)
