"""The decoder against a sum over all paths, on cases small enough for it."""

from itertools import groupby, product

import numpy as np
import pytest

from core.charset import TextSpec
from core.readers.decoder import FLOOR, Floats, Folding, Reading, decode


def collapse(path: tuple[int, ...]) -> tuple[int, ...]:
    """Return the symbols of a CTC path: merge repeats, then drop blanks."""
    return tuple(symbol for symbol, _ in groupby(path) if symbol)


def by_all_paths(frame_TS: Floats, spec: TextSpec) -> Reading:
    """Decode by listing every path of T symbols."""
    texts: dict[tuple[int, ...], float] = {}
    best, best_text = 0.0, None
    for path in product(range(frame_TS.shape[1]), repeat=len(frame_TS)):
        text = collapse(path)
        if len(text) != spec.length:
            continue
        probability = float(np.prod(frame_TS[np.arange(len(frame_TS)), path]))
        texts[text] = texts.get(text, 0.0) + probability
        if probability > best:
            best, best_text = probability, text
    if best_text is None:
        return Reading(None, 0.0, ())
    total = sum(texts.values())
    positions = [
        sum(share for text, share in texts.items() if text[place] == best_text[place]) / total
        for place in range(spec.length)
    ]
    return Reading(spec.decode(np.array(best_text) - 1), texts[best_text] / total, tuple(positions))


def random_frames(rng: np.random.Generator, frames: int, symbols: int) -> Floats:
    """Return probabilities from nearly even to nearly certain."""
    logits_TS = rng.normal(scale=rng.choice([0.3, 2, 8]), size=(frames, symbols))
    shares_TS = np.exp(logits_TS - logits_TS.max(axis=1, keepdims=True)) + FLOOR
    return np.asarray(shares_TS / shares_TS.sum(axis=1, keepdims=True))


def same(reading: Reading, expected: Reading) -> None:
    assert reading.text == expected.text
    assert reading.confidence == pytest.approx(expected.confidence, rel=1e-9, abs=1e-12)
    assert reading.positions == pytest.approx(expected.positions, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("seed", range(40))
def test_text_and_confidences_equal_those_of_all_paths(seed: int) -> None:
    rng = np.random.default_rng(seed)
    symbols, length = int(rng.integers(3, 5)), int(rng.integers(1, 4))
    spec = TextSpec(length, "ab1"[: symbols - 1])
    frames = [random_frames(rng, int(rng.integers(1, 7)), symbols) for _ in range(6)]
    for reading, frame_TS in zip(decode(frames, spec), frames, strict=True):
        same(reading, by_all_paths(frame_TS, spec))


def test_a_repeated_character_needs_a_blank_between() -> None:
    spec = TextSpec(2, "12")
    sure, unsure = [0.02, 0.96, 0.02], [0.9, 0.05, 0.05]
    repeated = np.array([sure, unsure, sure])
    assert decode([repeated], spec)[0].text == "11"
    adjacent = np.array([sure, sure])
    assert decode([adjacent], spec)[0].text in {"12", "21"}
    same(decode([repeated], spec)[0], by_all_paths(repeated, spec))


def test_an_image_with_too_few_frames_has_no_reading() -> None:
    spec = TextSpec(4, "01")
    frames = [np.full((count, 3), 1 / 3) for count in (0, 1, 3, 4)]
    readings = decode(frames, spec)
    assert [reading.text is None for reading in readings] == [True, True, True, False]
    assert readings[0] == Reading(None, 0.0, ())


def test_a_blank_image_is_read_without_confidence() -> None:
    spec = TextSpec(3, "0123456789")
    probabilities_TC = np.zeros((9, 11), dtype=np.float32)
    probabilities_TC[:, 0] = 1
    frame_TS = Folding(["", *spec.charset], 0, spec).apply(probabilities_TC)
    (reading,) = decode([frame_TS], spec)
    assert reading.text is not None
    assert len(reading.text) == 3
    assert reading.confidence < 0.01
    assert max(reading.positions) < 0.2


def test_a_reader_of_one_character_repeats_it() -> None:
    spec = TextSpec(2, "1x")
    probabilities_TC = np.array([[0.1, 0.9], [0.9, 0.1], [0.1, 0.9]])
    folding = Folding(["", "1"], 0, spec)
    assert folding.missing == "x"
    (reading,) = decode([folding.apply(probabilities_TC)], spec)
    assert reading.text == "11"
    assert reading.confidence > 0.99


def test_long_texts_do_not_underflow() -> None:
    spec = TextSpec(32, "0123456789")
    rng = np.random.default_rng(0)
    digits = rng.integers(0, 10, 32)
    frame_TS = np.full((500, 11), FLOOR)
    frame_TS[:, 0] = 1
    frame_TS[np.arange(32) * 15] = FLOOR
    frame_TS[np.arange(32) * 15, digits + 1] = 1
    (reading,) = decode([frame_TS], spec)
    assert reading.text == spec.decode(digits)
    assert reading.confidence == pytest.approx(1, abs=1e-6)
    (blank,) = decode([np.repeat(frame_TS[1:2], 500, axis=0)], spec)
    assert blank.text is not None
    assert np.isfinite(blank.confidence)


def test_images_of_different_widths_keep_their_order() -> None:
    spec = TextSpec(1, "ab")
    frames = [np.array([[0.1, 0.8, 0.1]] * count) for count in (3, 1, 2)]
    frames += [np.array([[0.1, 0.1, 0.8]] * count) for count in (1, 3)]
    assert [reading.text for reading in decode(frames, spec)] == ["a", "a", "a", "b", "b"]
    assert decode([], spec) == []


def test_symbols_outside_the_charset_are_dropped() -> None:
    spec = TextSpec(1, "12")
    folding = Folding(["", "1", "2", "3", "中", "12", ""], 0, spec)
    assert folding.missing == ""
    folded = folding.apply(np.array([[0.1, 0.2, 0.1, 0.3, 0.1, 0.1, 0.1]]))
    assert folded == pytest.approx(np.array([[0.25, 0.5, 0.25]]))


def test_both_cases_count_where_the_charset_has_one() -> None:
    probabilities_TC = np.array([[0.2, 0.3, 0.4, 0.1]])
    symbols = ["", "a", "A", "b"]
    assert Folding(symbols, 0, TextSpec(1, "ab")).apply(probabilities_TC) == pytest.approx(np.array([[0.2, 0.7, 0.1]]))
    assert Folding(symbols, 0, TextSpec(1, "AB")).apply(probabilities_TC) == pytest.approx(np.array([[0.2, 0.7, 0.1]]))
    assert Folding(symbols, 0, TextSpec(1, "aAb")).apply(probabilities_TC) == pytest.approx(
        np.array([[0.2, 0.3, 0.4, 0.1]])
    )


def test_a_symbol_that_appears_twice_adds_up() -> None:
    folding = Folding(["1", "", "1", "2"], 1, TextSpec(1, "12"))
    assert folding.apply(np.array([[0.1, 0.4, 0.3, 0.2]])) == pytest.approx(np.array([[0.4, 0.4, 0.2]]))
