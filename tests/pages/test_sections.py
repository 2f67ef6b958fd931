"""The Slices, Confidence and Report tabs of Evaluate, on a run of two steps made by the real worker."""

import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import beta
from streamlit.testing.v1 import AppTest

from core.charset import spec_of
from core.evaluation.acceptance import Acceptance
from core.evaluation.calibration import confidence
from core.evaluation.percent import rate
from core.home import Home
from db.connection import opened, write
from db.evaluations import insert_test_use
from db.records import Project
from pages.components import address
from tests.helpers.trained import RUN, write_run

OpenPage = Callable[..., AppTest]


def metric(app: AppTest, label: str) -> str:
    return next(each.value for each in app.metric if each.label == label)


def said(app: AppTest) -> str:
    return "\n".join(each.value for each in [*app.markdown, *app.caption, *app.info, *app.error])


def test_a_filter_in_the_address_is_counted_against_the_rest(home: Home, open_page: OpenPage, trained: Project) -> None:
    """The counts equal those computed from the labels, and the selected images are shown."""
    made = write_run(home, trained, "val", wrong=60)
    right_N = made.reading(spec_of(trained), tta=False).right_N
    members_N = np.array([label[0] == "1" for label in made.labels])

    app = open_page("evaluate", project=trained.name, section="slices", filter='char(1) == "1"')

    assert not app.exception
    assert metric(app, "Right, filtered images") == f"{right_N[members_N].sum()} of {members_N.sum()}"
    assert metric(app, "Right, all others") == f"{right_N[~members_N].sum()} of {(~members_N).sum()}"
    assert f"{members_N.sum()} images, {(~right_N & members_N).sum()} wrong" in said(app)


def test_a_mistake_in_the_filter_is_one_sentence(open_page: OpenPage, trained: Project) -> None:
    """Nothing is counted then. A filter that matches no image is reported too."""
    app = open_page("evaluate", project=trained.name, section="slices", filter="confidense < 1")
    assert not app.exception
    assert "unknown name 'confidense'" in app.error[0].value.replace("\\", "")
    assert not app.dataframe

    app.text_input(key="filter").set_value("confidence > 2").run()
    assert not app.exception
    assert "matches 0 of" in app.info[0].value


def test_the_evidence_is_shown_with_the_test_uses(home: Home, open_page: OpenPage, trained: Project) -> None:
    """0.05 ** (1 / 600) is 99.50%. Val selected the checkpoint. A use of the test set is listed without a result."""
    write_run(home, trained, "val", wrong=0)
    with opened(home.db) as db, write(db):
        insert_test_use(db, project_id=trained.id, job_id=RUN, operator="<ann>")

    app = open_page("evaluate", project=trained.name, section="confidence")

    assert not app.exception
    assert "With 0 wrong of 600, at least 99.5% are right at 95% confidence" in said(app).replace("\\", "")
    assert "selected the checkpoint" in said(app)
    assert "used once" in app.expander[-1].label
    assert app.dataframe[0].value["Right"].tolist() == ["no result"]
    assert app.dataframe[0].value["Operator"].tolist() == ["<ann>"]


def test_a_log_loss_above_zero_is_not_shown_as_zero(home: Home, open_page: OpenPage, trained: Project) -> None:
    """A run that is sure of every right reading has a log loss of 1e-6."""
    made = write_run(home, trained, "val", wrong=0)
    sure = replace(made, log_probs_VNPC=np.where(made.log_probs_VNPC > -1, np.float32(-1e-6), np.float32(-20)))
    sure.save(home.run(RUN) / "predictions-val.npz")

    app = open_page("evaluate", project=trained.name)

    assert not app.exception
    assert metric(app, "Mean log loss") == "<0.0001"


@pytest.mark.parametrize("wrong", [0, 60])
def test_lockout_gives_a_threshold_and_is_saved_with_its_tries(
    home: Home, open_page: OpenPage, trained: Project, wrong: int
) -> None:
    """At 100% and at 90%: two tries, one login in 1,000. SciPy confirms the numbers; test then uses the threshold."""
    made = write_run(home, trained, "val", wrong=wrong)
    app = open_page("evaluate", project=trained.name, section="confidence")
    app.segmented_control(key="risk rule").set_value("lockout").run()
    app.number_input(key="risk tries").set_value(2).run()
    app.number_input(key="risk logins").set_value(1000).run()
    next(button for button in app.button if button.label == "Use this threshold").click().run()

    assert not app.exception
    rule = Acceptance.load(home.run(RUN))
    assert rule is not None
    assert (rule.tries, rule.max_risk) == (2, pytest.approx(0.001**0.5))
    reading = made.reading(spec_of(trained), tta=False)
    used_N = confidence(reading.log_probs_NPC, rule.temperature) >= rule.threshold
    assert (rule.used, rule.wrong) == (used_N.sum(), (used_N & ~reading.right_N).sum())
    worst = beta.ppf(1 - 0.05 / 8, rule.wrong + 1, rule.used - rule.wrong)
    assert worst <= rule.max_risk
    note = next(
        text for text in (caption.value for caption in app.caption) if text.startswith("of the logins; at most")
    )
    at_most = int(re.findall(r"1 in ([\d,]+), 95%", note)[0].replace(",", ""))
    assert at_most == pytest.approx(1 / worst**2, rel=0.01)
    assert at_most >= 1000
    risk = rule.wrong / rule.used
    assert metric(app, "Tries per login") == f"{1 + risk:.3f}"
    assert f"submitted readings; {1 + worst:.3f} at the 95% bound" in said(app)

    write_run(home, trained, "test", wrong=wrong, n=400)
    app = open_page("evaluate", project=trained.name, section="confidence", split="test")

    assert not app.exception
    assert "Lockout after 2 tries" in [each.label for each in app.metric]


def test_a_threshold_that_differs_from_the_saved_one_is_reported(
    home: Home, open_page: OpenPage, trained: Project
) -> None:
    """The temperature is the same, but a higher error rate is allowed: the page says that the two differ."""
    write_run(home, trained, "val", wrong=60)
    app = open_page("evaluate", project=trained.name, section="confidence")
    app.number_input(key="risk wrong").set_value(20).run()
    next(button for button in app.button if button.label == "Use this threshold").click().run()
    assert "It differs from the one above" not in said(app)

    app.number_input(key="risk wrong").set_value(5).run()

    assert not app.exception
    assert "It differs from the one above" in said(app)


def test_a_risk_out_of_range_offers_no_threshold(home: Home, open_page: OpenPage, trained: Project) -> None:
    """The page names the range, and does not use the number before."""
    write_run(home, trained, "val", wrong=60)
    app = open_page("evaluate", project=trained.name, section="confidence")
    app.number_input(key="risk wrong").set_value(1).run()

    assert not app.exception
    assert [each.value.replace("\\", "") for each in app.error] == [
        "'One error in … readings' must be between 2 and 1,000,000, got 1."
    ]
    assert "Use this threshold" not in [button.label for button in app.button]


def test_confident_errors_are_named_when_no_threshold_holds(home: Home, open_page: OpenPage, trained: Project) -> None:
    """600 images would be enough for 1 in 100, but every third reading is wrong at any confidence."""
    made = write_run(home, trained, "val", wrong=0)
    log_probs_VNPC = made.log_probs_VNPC.copy()
    log_probs_VNPC[:, ::3] = np.roll(log_probs_VNPC[:, ::3], 1, axis=3)
    made = replace(made, log_probs_VNPC=log_probs_VNPC)
    made.save(home.run(RUN) / "predictions-val.npz")
    reading = made.reading(spec_of(trained), tta=False)
    wrong_N = np.cumsum(~reading.right_N[np.argsort(-reading.confidence_N, kind="stable")])
    bounds = {k: beta.ppf(1 - 0.05 / 8, wrong_N[k - 1] + 1, k - wrong_N[k - 1]) for k in (300, 390, 480, 540, 570, 600)}
    surest = min(bounds, key=bounds.__getitem__)

    app = open_page("evaluate", project=trained.name, section="confidence")

    assert not app.exception
    (text,) = (info.value for info in app.info)
    assert f"Of the {surest} most confident readings {wrong_N[surest - 1]} are wrong" in text
    assert f"so the error rate could be {rate(bounds[surest])}" in text
    assert "need" not in text


def test_too_few_errorless_images_say_how_many_are_needed(home: Home, open_page: OpenPage, trained: Project) -> None:
    """The 410 most confident of 610 are right; the search starts at 65% of all. 0.05 / 8 at 1% needs 505."""
    write_run(home, trained, "val", wrong=200, n=610)

    app = open_page("evaluate", project=trained.name, section="confidence")

    assert not app.exception
    (text,) = (info.value for info in app.info)
    assert "The 397 most confident readings are all right" in text
    assert f"an error rate of at most {rate(1 - (0.05 / 8) ** (1 / 397))}." in text
    assert "You need 505 without an error" in text
    assert "Check these" not in text


def test_one_confident_error_that_prevents_a_threshold_is_named(
    home: Home, open_page: OpenPage, trained: Project
) -> None:
    """The 380th of 610 is wrong, then none before the 571st. Without it the 549 most confident would show 1%."""
    made = write_run(home, trained, "val", wrong=40, n=610)
    log_probs_VNPC = made.log_probs_VNPC.copy()
    place = np.argsort(-made.reading(spec_of(trained), tta=False).confidence_N)[379]
    log_probs_VNPC[0, place, 0] = np.roll(log_probs_VNPC[0, place, 0], 1)
    replace(made, log_probs_VNPC=log_probs_VNPC).save(home.run(RUN) / "predictions-val.npz")

    app = open_page("evaluate", project=trained.name, section="confidence")

    assert not app.exception
    worst = beta.ppf(1 - 0.05 / 8, 2, 548)
    assert (
        f"Of the 549 most confident readings 1 is wrong, so the error rate could be {rate(worst)}. Check these"
        in app.info[0].value
    )


def test_equal_confidences_are_counted_together_when_no_threshold_holds(
    home: Home, open_page: OpenPage, trained: Project
) -> None:
    """All 600 have the same confidence and the last 50 are wrong, so no start is free of errors."""
    made = write_run(home, trained, "val", wrong=0)
    log_probs_VNPC = -np.log(1 + 3 * np.exp(-6)) - 6 * (made.log_probs_VNPC < np.log(0.5)).astype(np.float32)
    log_probs_VNPC[:, -50:, 0] = np.roll(log_probs_VNPC[:, -50:, 0], 1, axis=2)
    replace(made, log_probs_VNPC=log_probs_VNPC).save(home.run(RUN) / "predictions-val.npz")

    app = open_page("evaluate", project=trained.name, section="confidence")

    assert not app.exception
    assert "Of the 600 most confident readings 50 are wrong" in app.info[0].value


@pytest.mark.parametrize(("n", "wrong"), [(5, 0), (600, 0), (600, 60)])
def test_the_temperature_is_shown_with_the_log_loss_that_it_lowers(
    home: Home, open_page: OpenPage, trained: Project, n: int, wrong: int
) -> None:
    """The log losses equal those computed from the readings. Five right readings do not change the confidence."""
    reading = write_run(home, trained, "val", wrong=wrong, n=n).reading(spec_of(trained), tta=False)

    def loss(temperature: float) -> str:
        confidence_N = confidence(reading.log_probs_NPC, temperature)
        return f"{-np.log(np.where(reading.right_N, confidence_N, 1 - confidence_N)).mean():.4f}"

    text = said(open_page("evaluate", project=trained.name, section="confidence"))

    if n == 5:
        assert f"not rescaled (temperature 1.00): log loss {loss(1.0)}" in text
    else:
        assert f"log loss {loss(1.0)} → {loss(reading.temperature)}" in text
        assert loss(reading.temperature) < loss(1.0)


def test_settings_survive_a_visit_to_another_section(
    home: Home, open_page: OpenPage, trained: Project, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    """Error rate, lockout, the kind of matrix and the minimum size of a slice."""
    # AppTest sends the values of the page with each new address, as a widget does and a link does not.
    monkeypatch.setattr(address, "LATE_SECONDS", 0)
    write_run(home, trained, "val", wrong=60)
    app = open_page("evaluate", project=trained.name, section="confidence")

    def turn_to(section: str) -> None:
        app.query_params["project"], app.query_params["section"] = trained.name, section
        app.run()
        assert not app.exception

    app.number_input(key="risk wrong").set_value(20).run()
    app.segmented_control(key="risk rule").set_value("lockout").run()
    app.number_input(key="risk tries").set_value(5).run()
    app.number_input(key="risk logins").set_value(1000).run()
    turn_to("errors")
    app.toggle(key="probabilities").set_value(True).run()
    turn_to("slices")
    app.slider(key="min images").set_value(80).run()
    app.text_input(key="filter").set_value("wrong").run()
    assert app.toggle(key="probabilities").value
    app.text_input(key="filter").set_value("").run()
    assert app.slider(key="min images").value == 80
    turn_to("confidence")

    assert app.segmented_control(key="risk rule").value == "lockout"
    assert (app.number_input(key="risk tries").value, app.number_input(key="risk logins").value) == (5, 1000)
    app.segmented_control(key="risk rule").set_value("wrong").run()
    assert app.number_input(key="risk wrong").value == 20
    turn_to("slices")
    assert app.slider(key="min images").value == 80
    turn_to("errors")
    assert app.toggle(key="probabilities").value


def test_slices_say_when_nothing_is_wrong(home: Home, open_page: OpenPage, trained: Project) -> None:
    """The page names the filter for near misses instead."""
    write_run(home, trained, "val", wrong=0)

    app = open_page("evaluate", project=trained.name, section="slices")
    app.toggle(key="all slices").set_value(True).run()

    assert not app.exception
    assert "All of these images were read right" in said(app)
    assert app.dataframe[0].value["CI low"].is_monotonic_increasing


def test_the_page_offers_the_report(open_page: OpenPage, trained: Project) -> None:
    """The tab shows a download button and the equivalent command."""
    app = open_page("evaluate", project=trained.name, section="report")

    assert not app.exception
    assert len(app.get("download_button")) == 1
    assert "slotlab report 1 --split val --no-tta --out FILE" in said(app)
    app.toggle(key="tta").set_value(True).run()
    assert "slotlab report 1 --split val --tta --out FILE" in said(app)
