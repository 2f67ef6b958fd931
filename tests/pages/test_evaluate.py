"""The Evaluate page, on a run of two steps made by the real worker."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import log_softmax
from streamlit.testing.v1 import AppTest

from core.charset import spec_of
from core.data.labeling import apply_events
from core.evaluation.acceptance import Acceptance
from core.evaluation.calibration import confidence
from core.evaluation.percent import share_and_interval
from core.evaluation.predictions import Predictions
from core.evaluation.views import ViewChoice
from core.home import Home
from core.jobs import control
from core.jobs.jobdir import JobDir
from core.runs.bundles import find_bundle
from db.connection import opened
from db.evaluations import count_test_uses
from db.jobs import list_jobs
from db.records import Project
from db.samples import find_sample
from tests.helpers.labs import add_unreadable
from tests.helpers.sources import add_source
from tests.helpers.verdicts import judge, name_of

OpenPage = Callable[..., AppTest]


def stored(home: Home) -> Predictions:
    return Predictions.load(home.run("0001-fast") / "predictions-val.npz")


def popovers(app: AppTest) -> list[str]:
    return [block.proto.popover.label for block in app.get("popover")]


def press(app: AppTest, label: str) -> AppTest:
    return next(button for button in app.button if button.label == label).click().run()


def test_a_project_without_runs_points_to_training(open_page: OpenPage, portal: Project) -> None:
    """Without a trained model the page says where to get one."""
    app = open_page("evaluate", project=portal.name)

    assert not app.exception
    assert "No trained model" in app.info[0].value


def test_numbers_have_their_n_and_interval(home: Home, open_page: OpenPage, trained: Project) -> None:
    """Exact match is a large share, with k of n and its 95% interval below. Other tabs have it in one line."""
    found = stored(home)
    n, correct = len(found.labels), int(found.reading(spec_of(trained), tta=False).right_N.sum())
    app = open_page("evaluate", project=trained.name, run="1")
    metric = next(metric for metric in app.metric if metric.label == "Exact match on val")
    counts = f"{correct} of {n}, 95% interval {share_and_interval(correct, n)[1]}"
    assert not app.exception
    assert metric.value == f"{correct / n:.1%}"
    assert counts in [caption.value for caption in app.caption]

    app = open_page("evaluate", project=trained.name, run="1", section="confidence")
    assert f"Exact match on val: **{correct / n:.1%}** ({counts})" in [text.value for text in app.markdown]
    assert "Exact match on val" not in [metric.label for metric in app.metric]


def test_the_next_step_stands_beside_the_result(open_page: OpenPage, trained: Project) -> None:
    """A run of two steps has learned nothing, so the page says so and leads to Train."""
    app = open_page("evaluate", project=trained.name, run="1")

    (text,) = (text.value for text in app.markdown if text.value.startswith("**Next.** "))
    assert "Train longer" in text
    assert "Train a run" in [link.proto.label for link in app.main.get("page_link")]


def test_unreadable_images_are_counted_as_wrong(home: Home, open_page: OpenPage, trained: Project) -> None:
    """The headline and the evidence say so; without unreadable images they do not."""
    found = stored(home)
    n, correct = len(found.labels), int(found.reading(spec_of(trained), tta=False).right_N.sum())
    app = open_page("evaluate", project=trained.name, run="1", section="confidence")
    assert not [caption for caption in app.caption if "unreadable" in caption.value]

    add_unreadable(home, trained, "val", 3)
    app = open_page("evaluate", project=trained.name, run="1", section="confidence")

    sentence = "3 val images were skipped as unreadable. Counted as wrong: "
    assert not app.exception
    captions, texts = ([each.value.replace("\\", "") for each in group] for group in (app.caption, app.markdown))
    assert [text for text in captions if text.startswith(f"{sentence}{correct}/{n + 3} = ")]
    assert [text for text in texts if text.startswith(sentence)]


def test_views_change_is_counted(open_page: OpenPage, trained: Project) -> None:
    """The page says what test-time augmentation fixed and broke."""
    app = open_page("evaluate", project=trained.name, tta="true")

    assert not app.exception
    assert "Effect of TTA" in [metric.label for metric in app.metric]


def test_changed_labels_are_pointed_out(home: Home, open_page: OpenPage, trained: Project) -> None:
    """The page warns when labels have changed since the evaluation."""
    found = stored(home)
    with opened(home.db) as db:
        sample = find_sample(db, trained.id, found.sha256[0])
        assert sample is not None
        other = "".join("0" if char != "0" else "1" for char in found.labels[0])
        event = {
            "event": "e1", "action": "label", "sample": sample.sha256, "text": other, "base": sample.version,
        }  # fmt: skip
        apply_events(db, trained, "dana", [event])

    app = open_page("evaluate", project=trained.name)

    assert "1 label has changed" in app.warning[0].value


def test_the_test_set_is_used_only_on_purpose(home: Home, open_page: OpenPage, trained: Project) -> None:
    """The button for test needs a tick, and one tick allows one use. The use is then recorded and shown."""
    app = open_page("evaluate", project=trained.name, split="test")
    button = next(button for button in app.button if button.label == "Evaluate on test")
    assert button.disabled
    assert "not been used yet" in app.caption[0].value

    assert app.checkbox[0].key == "unlock test for 0001-fast"
    app.checkbox[0].check().run()
    press(app, "Evaluate on test")
    assert not app.exception
    with opened(home.db) as db:
        assert count_test_uses(db, trained.id) == 1
        job = list_jobs(db, kind="evaluate")[0]
        assert control.follow(db, home, job.id, lambda _: None).state == "finished"
    app.run()

    assert not app.exception
    assert "used once" in app.caption[0].value
    assert "Exact match on test" in [metric.label for metric in app.metric]
    assert not app.checkbox(key="unlock test for 0001-fast").value
    assert next(button for button in app.button if button.label == "Evaluate on test").disabled


@pytest.mark.parametrize("use", [True, False])
def test_an_evaluation_starts_with_the_setting_of_the_run(
    home: Home, open_page: OpenPage, trained: Project, use: bool
) -> None:
    """The command line has the same default for TTA."""
    ViewChoice(use=use, by="ann").save(home.run("0001-fast"))

    app = open_page("evaluate", project=trained.name, split="test")

    assert not app.exception
    assert [box.value for box in app.checkbox if box.label.startswith("Evaluate with test-time")] == [use]


def test_a_damaged_result_is_one_sentence(home: Home, open_page: OpenPage, trained: Project) -> None:
    """A damaged predictions file is named beside the button that replaces it, without a traceback."""
    (home.run("0001-fast") / "predictions-val.npz").write_bytes(b"torn")

    app = open_page("evaluate", project=trained.name)

    assert not app.exception
    assert "Evaluate the run again" in app.error[0].value
    assert [button.label for button in app.button] == ["Evaluate on val"]


def test_readings_by_earlier_weights_are_marked(home: Home, open_page: OpenPage, trained: Project) -> None:
    """A run can be evaluated while it is running, and then selects a later checkpoint."""
    found = stored(home)
    app = open_page("evaluate", project=trained.name)
    assert (len(app.warning), popovers(app)) == (0, ["Evaluate again"])
    replace(found, step=0).save(home.run("0001-fast") / "predictions-val.npz")

    app = open_page("evaluate", project=trained.name)

    assert not app.exception
    assert "from the checkpoint of step 0. The run has since selected step" in app.warning[0].value
    assert f"selected step {found.step}." in app.warning[0].value
    assert not popovers(app)  # the button stands open


def as_a_good_run(home: Home, trained: Project, split: str) -> Predictions:
    """Write 600 readings of a good run for this split: only the two of lowest confidence are wrong."""
    readings, spec = stored(home), spec_of(trained)
    targets_NP = readings.reading(spec, tta=False).targets_NP
    rng = np.random.default_rng(0)
    sure_N = rng.uniform(4, 9, 600)
    chosen = rng.integers(0, len(targets_NP), 600)
    logits_NPC = np.zeros((600, spec.length, spec.num_classes), dtype=np.float32)
    np.put_along_axis(logits_NPC, targets_NP[chosen][:, :, None], sure_N[:, None, None].astype(np.float32), axis=2)
    for place in np.argsort(sure_N)[:2]:
        logits_NPC[place] = np.roll(logits_NPC[place], 1, axis=1)
    made = Predictions(
        sha256=[readings.sha256[place] for place in chosen],
        labels=[readings.labels[place] for place in chosen],
        views=readings.views[:1],
        log_probs_VNPC=log_softmax(logits_NPC, axis=2)[None],
        step=readings.step,
    )
    made.save(home.run("0001-fast") / f"predictions-{split}.npz")
    return made


def test_a_threshold_is_saved_with_the_run(home: Home, open_page: OpenPage, trained: Project) -> None:
    """The saved values are those on the page, and test uses them unchanged."""
    made = as_a_good_run(home, trained, "val")
    reading = made.reading(spec_of(trained), tta=False)

    app = press(open_page("evaluate", project=trained.name, section="confidence"), "Use this threshold")

    assert not app.exception
    rule = Acceptance.load(home.run("0001-fast"))
    assert rule is not None
    assert (rule.step, rule.tta, rule.n, rule.max_risk) == (made.step, False, 600, 0.01)
    used_N = confidence(reading.log_probs_NPC, rule.temperature) >= rule.threshold
    right_N = reading.right_NP.all(axis=1)
    assert (rule.used, rule.wrong) == (used_N.sum(), (~right_N[used_N]).sum())
    assert any(f"{rule.used:,} of 600 validation images accepted" in caption.value for caption in app.caption)
    assert f"{rule.used:,} of 600" in [metric.value for metric in app.metric if metric.label == "Accepted"]

    as_a_good_run(home, trained, "test")
    app = open_page("evaluate", project=trained.name, split="test", section="confidence")

    assert not app.exception
    assert f"{rule.used:,} of 600" in [metric.value for metric in app.metric if metric.label == "Accepted"]
    assert "Use this threshold" not in [button.label for button in app.button]


def test_verdicts_of_the_portal_choose_a_threshold_too(home: Home, open_page: OpenPage, bundled: Project) -> None:
    """The choice appears once a bundle of the run was judged. A dozen validation images show no threshold."""
    with opened(home.db) as db:
        bundle = find_bundle(db, home, "0001-bundle")
        assert bundle is not None
        assert "threshold by" not in open_page("evaluate", project=bundled.name, section="confidence").session_state
        judge(db, bundled, name_of(bundle.directory), np.linspace(0.5, 1, 900).tolist(), wrong=20)

    app = open_page("evaluate", project=bundled.name, section="confidence")
    app.segmented_control(key="threshold by").set_value("portal").run()
    press(app, "Use this threshold")

    assert not app.exception
    rule = Acceptance.load(home.run("0001-fast"))
    assert rule is not None
    assert (rule.reference, rule.n) == ("portal", 900)
    assert any(f"{rule.used:,} of 900 submitted images accepted" in caption.value for caption in app.caption)

    with opened(home.db) as db:  # verdicts that come later count at once
        judge(db, bundled, f"{name_of(bundle.directory)} int8", [0.9] * 10, wrong=0)
    app.run()
    assert "Verdicts of the portal (910)" in app.segmented_control(key="threshold by").options

    app = open_page("evaluate", project=bundled.name, section="confidence")
    assert app.segmented_control(key="threshold by").value == "portal"

    app.segmented_control(key="threshold by").set_value("validation").run()
    assert any("label more validation images" in info.value for info in app.info)
    assert not any("differs from the one above" in caption.value for caption in app.caption)

    as_a_good_run(home, bundled, "test")
    app = open_page("evaluate", project=bundled.name, split="test", section="confidence")
    assert any("set on 900 submitted images for an error rate" in caption.value for caption in app.caption)


def test_a_damaged_threshold_can_be_replaced(home: Home, open_page: OpenPage, trained: Project) -> None:
    """The page reports it and still draws the button that fixes it."""
    as_a_good_run(home, trained, "val")
    (home.run("0001-fast") / "acceptance.json").write_text("{")

    app = open_page("evaluate", project=trained.name, section="confidence")
    assert any("Set a threshold again" in error.value for error in app.error)
    press(app, "Use this threshold")

    assert Acceptance.load(home.run("0001-fast")) is not None


def test_few_images_show_no_threshold_and_say_how_many_would(open_page: OpenPage, trained: Project) -> None:
    """The page does not set a threshold from a dozen images."""
    app = open_page("evaluate", project=trained.name, section="confidence")

    assert any("You need at least 505 validation images" in info.value for info in app.info)
    button = next(button for button in app.button if button.label == "Use this threshold")
    assert button.disabled


def test_slices_come_from_the_database(open_page: OpenPage, trained: Project) -> None:
    """Slices come from source, operator and day as well as from the characters of the label."""
    app = open_page("evaluate", project=trained.name, section="slices")
    app.slider(key="min images").set_value(1).run()
    assert not app.dataframe  # none is significant
    app.toggle(key="all slices").set_value(True).run()

    assert not app.exception
    table = app.dataframe[0].value
    assert {"adjacent characters", "position 1"} <= set(table["Property"])
    assert (table["CI low"] <= table["Exact match"]).all()
    assert (table["Exact match"] <= table["CI high"]).all()


def test_a_later_source_stands_beside_the_other_images(home: Home, open_page: OpenPage, trained: Project) -> None:
    """The box offers it once the source is there. Its images of test need the unlocked test set."""
    app = open_page("evaluate", project=trained.name)
    assert app.segmented_control[0].options == ["val", "test"]
    with opened(home.db) as db:
        db.execute("UPDATE jobs SET created_at = '2026-01-01T00:00:00+00:00'")
        add_source(db, trained, "june *5*", count=12, seed=5)

    app = open_page("evaluate", project=trained.name, split="next")
    assert not app.exception
    assert app.segmented_control[0].options == ["val", "test", "next"]
    assert app.selectbox(key="next").value == "june *5*"
    assert next(button for button in app.button if button.label.startswith("Evaluate on source june")).disabled
    app.checkbox[0].check().run()
    next(button for button in app.button if button.label.startswith("Evaluate on source june")).click().run()
    with opened(home.db) as db:
        job = list_jobs(db, kind="evaluate")[0]
        assert control.follow(db, home, job.id, lambda _: None).state == "finished"
        status = JobDir(home.run(job.id)).read("status.json")
        assert status is not None
        assert status["message"].startswith("Reading images of source june *5*, ")
        assert count_test_uses(db, trained.id) == 1

    for section in ("errors", "slices", "tta", "confidence", "report"):
        app = open_page("evaluate", project=trained.name, split="next", section=section)
        assert not app.exception
        assert not app.error
    assert "used once" in app.caption[0].value
    assert [text.value for text in app.markdown if " of 12, 95% interval " in text.value]
    assert [each.value for each in app.markdown if each.value.startswith("Validation images of other sources")]
    assert any("--source 'june *5*'" in caption.value for caption in app.caption)
    app = open_page("evaluate", project=trained.name, split="next", section="confidence")
    assert any("has not seen this source" in caption.value for caption in app.caption)


def test_a_damaged_threshold_hides_no_errors(home: Home, open_page: OpenPage, bundled: Project) -> None:
    """The Confidence tab says that the file is damaged. The run has a bundle, whose threshold was compared with it."""
    (home.run("0001-fast") / "acceptance.json").write_text("{")

    app = open_page("evaluate", project=bundled.name, run="1")

    assert not app.exception
    assert "Exact match on val, with TTA" in [metric.label for metric in app.metric]
    assert "Statistics" in [expander.label for expander in app.expander]
