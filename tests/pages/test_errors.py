"""The Errors section of the Evaluate page: the data sent to its widgets. tests/browser tests the widgets."""

import base64
import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest
from streamlit.testing.v1 import AppTest

from core.charset import spec_of
from core.data.labeling import apply_events
from core.evaluation.predictions import Predictions, Reading
from core.home import Home, default_operator
from core.images.pixels import decode
from core.model.attention import attention_of
from core.model.predictor import Predictor
from db.connection import opened
from db.records import Project
from db.samples import find_sample, image_bytes
from pages.components.widgets.gallery.server import Cell

OpenPage = Callable[..., AppTest]
RUN = "0001-fast"


def stored(home: Home) -> Predictions:
    return Predictions.load(home.run(RUN) / "predictions-val.npz")


def reading_of(home: Home, project: Project) -> Reading:
    return stored(home).reading(spec_of(project), tta=False)


def store(home: Home, project: Project, wrong: int) -> Reading:
    """Store predictions with `wrong` errors of one character each. The other readings vary in confidence."""
    predictions, rng = stored(home), np.random.default_rng(0)
    targets_NP = reading_of(home, project).targets_NP
    logits_NPC = np.zeros((len(targets_NP), 3, 4), dtype=np.float32)
    np.put_along_axis(logits_NPC, targets_NP[:, :, None], rng.uniform(1, 9, (*targets_NP.shape, 1)), axis=2)
    for place in range(wrong):
        logits_NPC[place, 1, (targets_NP[place, 1] + 1) % 4] = 10
    log_probs_NPC = logits_NPC - np.log(np.exp(logits_NPC).sum(axis=2, keepdims=True))
    assert predictions.moves_V4 is not None
    assert predictions.seconds_V is not None
    replace(
        predictions,
        views=predictions.views[:1],
        moves_V4=predictions.moves_V4[:1],
        seconds_V=predictions.seconds_V[:1],
        log_probs_VNPC=log_probs_NPC[None],
    ).save(home.run(RUN) / "predictions-val.npz")
    return reading_of(home, project)


def sent(app: AppTest, key: str) -> dict[str, Any]:
    """Return the data of a widget as the browser gets it."""
    assert not app.exception
    (data,) = (json.loads(each.proto.json) for each in app.get("bidi_component") if each.key == key)
    return dict(data)


def matrices(app: AppTest) -> list[dict[str, Any]]:
    return list(sent(app, "matrices")["matrices"])


def tiles(app: AppTest) -> list[dict[str, Any]]:
    return list(sent(app, "gallery")["tiles"])


def hashes(app: AppTest) -> list[str]:
    return [tile["sample"] for tile in tiles(app)]


@pytest.mark.parametrize("kind", ["counts", "rates"])
def test_each_cell_of_each_matrix_is_counted(home: Home, open_page: OpenPage, trained: Project, kind: str) -> None:
    """All positions first, then each one. Rows are true, columns read, with the exact interval of the share."""
    reading = reading_of(home, trained)

    shown = matrices(open_page("evaluate", project=trained.name, matrix=kind))

    assert [matrix["position"] for matrix in shown] == [None, 0, 1, 2]
    for matrix in shown:
        at = slice(None) if matrix["position"] is None else matrix["position"]
        true, read = reading.targets_NP[:, at].ravel(), reading.predicted_NP[:, at].ravel()
        assert (matrix["right"], matrix["n"]) == ((true == read).sum(), len(true))
        for row in range(4):
            n = int((true == row).sum())
            assert matrix["rows"][row] == n
            for column in range(4):
                k = int(((true == row) & (read == column)).sum())
                cell = matrix["cells"][4 * row + column]
                assert cell == (k if kind == "counts" else pytest.approx(k / max(n, 1), abs=1e-6))
                if n:
                    exact = binomtest(k, n).proportion_ci(method="exact")
                    share = matrix["shares"].get(str(4 * row + column), matrix["bounds"][row])
                    shown_ends = [float(end) for end in re.findall(r"([\d.]+)%", share)]
                    ends = [k / n, exact.low, exact.high] if k else [exact.high]
                    assert shown_ends == pytest.approx([100 * end for end in ends], abs=0.06)
                    assert share.startswith("at most") == (k == 0)


def test_probability_shows_where_counts_show_nothing(home: Home, open_page: OpenPage, trained: Project) -> None:
    """Mean probability, support and smallest margin of each character, per position and for all positions."""
    reading = store(home, trained, wrong=1)

    shown = matrices(open_page("evaluate", project=trained.name, matrix="probability"))

    for matrix in shown:
        at = slice(None) if matrix["position"] is None else slice(matrix["position"], matrix["position"] + 1)
        true, log_probs = reading.targets_NP[:, at].ravel(), reading.log_probs_NPC[:, at].reshape(-1, 4)
        for row in np.unique(true):
            rows = log_probs[true == row].astype(float)
            assert matrix["rows"][row] == len(rows)
            assert matrix["cells"][4 * row : 4 * row + 4] == pytest.approx(np.exp(rows).mean(axis=0), rel=0.01)
            margin = (rows[:, row] - np.delete(rows, row, axis=1).max(axis=1)).min()
            assert matrix["margins"][row] == pytest.approx(margin, abs=0.006)


def test_wrong_images_have_their_reading_and_confidence(home: Home, open_page: OpenPage, trained: Project) -> None:
    """Every number of a tile, recomputed from the stored log-probabilities. The most confident error comes first."""
    predictions, reading = stored(home), reading_of(home, trained)

    shown = tiles(open_page("evaluate", project=trained.name))

    wrong = [place for place in range(len(predictions.labels)) if not reading.right_NP[place].all()]
    confidence = {
        predictions.sha256[place]: float(np.exp(reading.log_probs_NPC[place].max(axis=1).sum())) for place in wrong
    }
    assert [tile["sample"] for tile in shown] == sorted(confidence, key=confidence.__getitem__, reverse=True)[:24]
    for tile in shown:
        place = predictions.sha256.index(tile["sample"])
        probs_PC = np.exp(reading.log_probs_NPC[place].astype(float))
        true = [trained.charset.index(char) for char in predictions.labels[place]]
        loss = -sum(np.log(probs_PC[position, char]) for position, char in enumerate(true))
        margin = min(
            np.log(probs_PC[position, char] / np.delete(probs_PC[position], char).max())
            for position, char in enumerate(true)
        )
        texts = [
            "".join(trained.charset[char] for char in view[place].argmax(axis=1)) for view in predictions.log_probs_VNPC
        ]
        assert tile["read"] == texts[0]
        assert tile["figures"] == [
            f"confidence {confidence[tile['sample']]:.1%}, loss {loss:.2g}",
            f"margin {margin:.1f}, {texts.count(texts[0])} of {len(texts)} views agree".replace("-", "−"),
        ]
        for position, row in enumerate(probs_PC):
            best = np.argsort(-row)[:2]
            assert tile["positions"][position] == {
                "read": tile["read"][position],
                "label": tile["label"][position],
                "best": [[trained.charset[char], f"{row[char]:.1%}", f"{100 * row[char]:.0f}"] for char in best],
            }


def test_a_list_is_sorted_as_asked(home: Home, open_page: OpenPage, trained: Project) -> None:
    """All images by loss, then by the number of disagreeing views."""
    predictions, reading = stored(home), reading_of(home, trained)
    app = open_page("evaluate", project=trained.name)
    next(group for group in app.button_group if "least confident" in group.options).set_value("least confident").run()

    app.selectbox(key="sort least confident confidence").set_value("loss").run()
    loss = -np.take_along_axis(reading.log_probs_NPC, reading.targets_NP[:, :, None], axis=2).sum(axis=(1, 2))
    assert hashes(app) == [predictions.sha256[place] for place in np.argsort(-loss, kind="stable")][:24]
    assert "least confident first" not in " ".join(caption.value for caption in app.caption)

    app.selectbox(key="sort least confident confidence").set_value("disagreement").run()
    agree = (predictions.log_probs_VNPC.argmax(axis=3) == reading.predicted_NP).all(axis=2).sum(axis=0)
    assert hashes(app) == [predictions.sha256[place] for place in np.argsort(agree, kind="stable")][:24]


def test_without_an_error_near_misses_are_shown(home: Home, open_page: OpenPage, trained: Project) -> None:
    """Instead of an empty list, the page shows near misses and probabilities. The interval stands once, on top."""
    reading = store(home, trained, wrong=0)

    app = open_page("evaluate", project=trained.name)

    n = len(reading.targets_NP)
    assert app.success[0].value == f"There is no error in {n} images. Check the near misses."
    assert "closest to an error first" in " ".join(caption.value for caption in app.caption)
    assert sent(app, "matrices")["kind"] == "probability"
    assert "wrong" not in next(group for group in app.button_group if "least confident" in group.options).options
    margins = np.sort(reading.log_probs_NPC, axis=2)
    narrow = (margins[:, :, -1] - margins[:, :, -2]).min(axis=1)
    assert hashes(app) == [stored(home).sha256[place] for place in np.argsort(narrow, kind="stable")][:24]


def test_a_cell_shows_its_images_at_a_position_or_any(home: Home, open_page: OpenPage, trained: Project) -> None:
    """An empty cell shows the images closest to it, and says so."""
    reading, predictions = store(home, trained, wrong=2), stored(home)
    true = int(reading.targets_NP[0, 1])
    read, other = (true + 1) % 4, (true + 2) % 4
    app = open_page("evaluate", project=trained.name)

    def show(position: int | None, into: int) -> tuple[list[str], list[str]]:
        app.query_params["cell"] = Cell(position, true, into, soft=False).name("0123")
        app.session_state["clicks"] = app.session_state["clicks"] + 1 if "clicks" in app.session_state else 1
        app.run()
        return hashes(app), [caption.value for caption in app.caption]

    members = [
        predictions.sha256[place]
        for place in range(len(predictions.labels))
        if (reading.targets_NP[place, 1], reading.predicted_NP[place, 1]) == (true, read)
    ]
    images = "image" if len(members) == 1 else "images"
    for position, words in ((1, "at position 2"), (None, "at any position")):
        shown, captions = show(position, read)
        assert sorted(shown) == sorted(members)
        assert f"{len(members)} {images} with {true} read as {read} {words}." in captions
    shown, captions = show(1, other)
    assert any(f"No {true} is read as {other} at position 2." in line for line in captions)
    same = np.flatnonzero(reading.targets_NP[:, 1] == true)
    close = same[np.argsort(-reading.log_probs_NPC[same, 1, other], kind="stable")]
    assert shown == [predictions.sha256[place] for place in close]
    assert sent(app, "matrices")["chosen"] == {"position": 1, "row": true, "column": other}


@pytest.mark.parametrize("cell", ["4-01", "0-01", "2-09", "all-0", "2-01-x", "matrix"])
def test_a_cell_that_the_evaluation_lacks_is_named(
    home: Home, open_page: OpenPage, trained: Project, cell: str
) -> None:  # fmt: skip
    """The text has three positions and the characters 0 to 3."""
    store(home, trained, wrong=2)

    app = open_page("evaluate", project=trained.name, cell=cell)

    assert not app.exception
    assert ["There is no cell" in error.value for error in app.main.error] == [True]
    assert sent(app, "matrices")["chosen"] is None


def test_attention_is_shown_on_request(home: Home, open_page: OpenPage, trained: Project) -> None:
    """The maps match core.model.attention, over the part of the image that the run sees."""
    app = open_page("evaluate", project=trained.name)
    assert all(tile["attention"] is None for tile in tiles(app))
    app.toggle(key="attention").set_value(True).run(timeout=30)

    predictor = Predictor.load(home.run(RUN), device="cpu")
    with opened(home.db) as db:
        for tile in tiles(app):
            sample = find_sample(db, trained.id, tile["sample"])
            assert sample is not None
            image = decode(image_bytes(db, [sample.id])[sample.id])
            (expected,) = attention_of(predictor, [image])
            attention = tile["attention"]
            cells = np.frombuffer(base64.b64decode(attention["cells"]), dtype=np.uint8)
            cells_PHW = cells.reshape(3, attention["rows"], attention["columns"])
            peaks = expected.weights_PHW.max(axis=(1, 2), keepdims=True)
            assert np.abs(cells_PHW / 255 - expected.weights_PHW / peaks).max() < 0.005
            assert tuple(attention["box"]) == pytest.approx(expected.box)


def test_a_run_without_its_weights_still_shows_its_images(home: Home, open_page: OpenPage, trained: Project) -> None:
    """Asking for attention then shows an error sentence."""
    for path in (home.run(RUN) / "checkpoints").glob("*"):
        path.unlink()
    app = open_page("evaluate", project=trained.name)
    app.toggle(key="attention").set_value(True).run(timeout=30)

    assert "no usable checkpoint" in app.error[0].value
    assert tiles(app)
    assert all(tile["attention"] is None for tile in tiles(app))


def test_a_corrected_label_and_a_lost_image_keep_their_place(home: Home, open_page: OpenPage, trained: Project) -> None:
    """The list is that of the evaluation, with the current label of each image."""
    predictions = stored(home)
    replace(predictions, sha256=["0" * 64, *predictions.sha256[1:]]).save(home.run(RUN) / "predictions-val.npz")
    before = hashes(open_page("evaluate", project=trained.name))
    corrected = next(sha256 for sha256 in before if sha256 != "0" * 64)
    with opened(home.db) as db:
        event = {"event": "1", "action": "label", "sample": corrected, "text": "000", "base": 1}
        apply_events(db, trained, "ben", [event])

    shown = tiles(open_page("evaluate", project=trained.name))

    assert [tile["sample"] for tile in shown] == before
    now = next(tile["now"] for tile in shown if tile["sample"] == corrected)
    assert now == {"label": "000", "shown": "000", "operator": "ben", "disputed": False}
    if "0" * 64 in before:
        assert next(tile for tile in shown if tile["sample"] == "0" * 64)["deleted"]


def test_no_reading_of_val_is_offered_as_a_label(home: Home, open_page: OpenPage, trained: Project) -> None:
    """Even a sure reading of a good run: these labels prove what the run is worth."""
    store(home, trained, wrong=1)

    assert [tile["offered"] for tile in tiles(open_page("evaluate", project=trained.name))] == [False]


def test_undo_is_offered_after_a_reload(home: Home, open_page: OpenPage, trained: Project) -> None:
    """To the operator who gave the label here, until someone else changes it."""
    store(home, trained, wrong=1)
    (before,) = tiles(open_page("evaluate", project=trained.name))
    event = {"event": "mine", "action": "label", "sample": before["sample"], "text": "000", "base": before["version"]}
    later = event | {"event": "later", "text": "111", "base": before["version"] + 1}
    with opened(home.db) as db:
        apply_events(db, trained, default_operator(), [event], origin="evaluate")
        (mine,) = tiles(open_page("evaluate", project=trained.name))
        apply_events(db, trained, "Ben", [later], origin="evaluate")
        (theirs,) = tiles(open_page("evaluate", project=trained.name))

    assert (before["undo"], mine["undo"], theirs["undo"]) == (False, True, False)


def test_mode_and_order_of_the_images_stand_in_the_address(home: Home, open_page: OpenPage, trained: Project) -> None:
    """A link opens the same list. Another mode starts in its own order."""
    store(home, trained, wrong=1)
    app = open_page("evaluate", project=trained.name, show="near misses", sort="loss")
    kept = dict(app.query_params)
    app.selectbox(key="sort near misses margin").set_value("margin").run()

    assert (kept["show"], kept["sort"]) == ("near misses", "loss")
    assert "sort" not in app.query_params
    assert app.query_params["show"] == "near misses"
