"""Color names of images drawn with known colors."""

import colorsys

import numpy as np
import pytest

from core.images.colors import NAMES, TERMS, background_and_ink, name_colors


def drawn(background: tuple[int, ...], ink: tuple[int, ...], share: float = 0.1) -> np.ndarray:
    """Return a 60 x 200 image with bars, slight noise and a few pixels of another color."""
    rng = np.random.default_rng(0)
    pixels = np.full((60, 200, 3), background, dtype=np.int64)
    pixels[12:48, 20 : 20 + round(160 * share / 0.1 * 0.35)] = ink
    pixels += rng.integers(-4, 5, pixels.shape)
    pixels[rng.integers(0, 60, 20), rng.integers(0, 200, 20)] = (0, 255, 0)
    return pixels.clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("background", "ink", "name"),
    [
        ((245, 245, 245), (25, 40, 170), "blue on white"),
        ((15, 15, 15), (240, 240, 240), "white on black"),
        ((128, 128, 128), (190, 20, 30), "red on gray"),
        ((250, 225, 60), (0, 0, 0), "black on yellow"),
    ],
)
def test_background_and_ink_are_found_and_named(background: tuple[int, ...], ink: tuple[int, ...], name: str) -> None:
    """Noise and stray pixels do not matter, for dark on light and light on dark."""
    found = background_and_ink(drawn(background, ink))

    assert np.abs(found.astype(int) - [background, ink]).max() <= 4
    assert name_colors(found[None]) == [name]


def test_a_frame_is_not_the_background() -> None:
    """A white image with a black frame of two pixels and red ink is red on white."""
    pixels = drawn((250, 250, 250), (200, 20, 20))
    pixels[:2], pixels[-2:], pixels[:, :2], pixels[:, -2:] = 0, 0, 0, 0

    assert name_colors(background_and_ink(pixels)[None]) == ["red on white"]


@pytest.mark.parametrize("shape", [(8, 8), (8, 500), (1000, 2000)])
def test_an_image_of_one_color_has_no_other_ink(shape: tuple[int, int]) -> None:
    """This holds at every size an import accepts."""
    assert (background_and_ink(np.full((*shape, 3), 77, dtype=np.uint8)) == 77).all()


def test_each_shade_bears_the_name_of_its_term() -> None:
    """A slightly different color gets the same name."""
    for name, shades in TERMS.items():
        for shade in shades:
            near = np.clip(np.array(shade) + 5, 0, 255).astype(np.uint8)
            assert name_colors(np.array([[shade, near]], dtype=np.uint8)) == [f"{name} on {name}"]


def test_the_name_of_a_color_depends_only_on_the_color() -> None:
    """The name depends only on the color; saturated colors are named after their hue."""
    rng = np.random.default_rng(0)
    colors_N23 = rng.integers(0, 256, (2000, 2, 3)).astype(np.uint8)
    names = name_colors(colors_N23)
    assert names[:10] == name_colors(colors_N23[:10])
    assert {part for name in names for part in name.split(" on ")} == set(NAMES)

    for hue, name in ((0, "red"), (1 / 6, "yellow"), (1 / 3, "green"), (1 / 2, "turquoise"), (2 / 3, "blue")):
        color = np.array(colorsys.hsv_to_rgb(hue, 0.9, 0.9)) * 255
        assert name_colors(np.array([[color, color]]).astype(np.uint8)) == [f"{name} on {name}"]
    assert name_colors(np.empty((0, 2, 3), dtype=np.uint8)) == []
