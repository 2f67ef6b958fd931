"""Filter, parts, evidence, lockout and report of the Evaluate page, on a run of two steps made by the real worker."""

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
from core.home import Home
from db.connection import opened, write
from db.evaluations import insert_test_use
from db.records import Project
from tests.helpers.trained import RUN, write_run

OpenPage = Callable[..., AppTest]


def metric(app: AppTest, label: str) -> str:
    return next(each.value for each in app.metric if each.label == label)


def said(app: AppTest) -> str:
    return "\n".join(each.value for each in [*app.markdown, *app.caption, *app.info, *app.error])


def test_a_filter_in_the_address_is_counted_against_the_rest(home: Home, open_page: OpenPage, trained: Project) -> None:
    """By hand from the labels; the images it selects are there."""
    made = write_run(home, trained, "val", wrong=60)
    right_N = made.reading(spec_of(trained), tta=False).right_N
    members_N = np.array([label[0] == "1" for label in made.labels])

    app = open_page("evaluate", project=trained.name, section="Parts", filter='char(1) == "1"')

    assert not app.exception
    assert metric(app, "Right where it holds") == f"{right_N[members_N].sum()} of {members_N.sum()}"
    assert metric(app, "Right in the rest") == f"{right_N[~members_N].sum()} of {(~members_N).sum()}"
    assert f"{members_N.sum()} images, {(~right_N & members_N).sum()} wrong" in said(app)


def test_a_mistake_in_the_filter_is_one_sentence(open_page: OpenPage, trained: Project) -> None:
    """And nothing is counted; none selected is said too."""
    app = open_page("evaluate", project=trained.name, section="Parts", filter="confidense < 1")
    assert not app.exception
    assert "unknown name 'confidense'" in app.error[0].value.replace("\\", "")
    assert not app.dataframe

    app.text_input(key="filter").set_value("confidence > 2").run()
    assert not app.exception
    assert "holds for none" in app.info[0].value


def test_what_the_images_show_stands_with_the_openings(home: Home, open_page: OpenPage, trained: Project) -> None:
    """0.05 ** (1 / 600) is 99.50%; val chose the weights; who opened the test images, without a result."""
    write_run(home, trained, "val", wrong=0)
    with opened(home.db) as db, write(db):
        insert_test_use(db, project_id=trained.id, job_id=RUN, operator="<ann>")

    app = open_page("evaluate", project=trained.name, section="Trust")

    assert not app.exception
    assert "With 0 wrong of 600, at least 99.5% are right at 95% confidence" in said(app).replace("\\", "")
    assert "chose which weights are kept" in said(app)
    assert "used once" in app.expander[-1].label
    assert app.dataframe[0].value["Right"].tolist() == ["no result"]
    assert app.dataframe[0].value["Who"].tolist() == ["<ann>"]


@pytest.mark.parametrize("wrong", [0, 60])
def test_lockout_gives_a_threshold_and_is_kept_with_its_tries(
    home: Home, open_page: OpenPage, trained: Project, wrong: int
) -> None:
    """At 100% and at 90%: two tries, one login in 1,000; its numbers again by scipy, then tried out on test."""
    made = write_run(home, trained, "val", wrong=wrong)
    app = open_page("evaluate", project=trained.name, section="Trust")
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
    said_of = next(
        text for text in (caption.value for caption in app.caption) if text.startswith("of the logins; at most")
    )
    at_most = int(re.findall(r"1 in ([\d,]+), 95%", said_of)[0].replace(",", ""))
    assert at_most == pytest.approx(1 / worst**2, rel=0.01)
    assert at_most >= 1000
    risk = rule.wrong / rule.used
    assert metric(app, "Tries for one login") == f"{1 + risk:.3f}"
    assert f"answers submitted; {1 + worst:.3f} at that bound" in said(app)

    write_run(home, trained, "test", wrong=wrong, n=400)
    app = open_page("evaluate", project=trained.name, section="Trust", split="test")

    assert not app.exception
    assert "Lockout after 2 tries" in [each.label for each in app.metric]


def test_another_threshold_than_the_kept_one_is_said(home: Home, open_page: OpenPage, trained: Project) -> None:
    """The same temperature, for more wrong answers: what is above is not what is kept."""
    write_run(home, trained, "val", wrong=60)
    app = open_page("evaluate", project=trained.name, section="Trust")
    app.number_input(key="risk wrong").set_value(20).run()
    next(button for button in app.button if button.label == "Use this threshold").click().run()
    assert "It is not the one above" not in said(app)

    app.number_input(key="risk wrong").set_value(5).run()

    assert not app.exception
    assert "It is not the one above" in said(app)


def test_errors_of_which_the_run_is_sure_are_named_when_no_threshold_holds(
    home: Home, open_page: OpenPage, trained: Project
) -> None:
    """600 images would be enough for 1 in 100; every third answer is wrong however sure. Its counts by hand."""
    made = write_run(home, trained, "val", wrong=0)
    log_probs_VNPC = made.log_probs_VNPC.copy()
    log_probs_VNPC[:, ::3] = np.roll(log_probs_VNPC[:, ::3], 1, axis=3)
    made = replace(made, log_probs_VNPC=log_probs_VNPC)
    made.save(home.run(RUN) / "predictions-val.npz")
    reading = made.reading(spec_of(trained), tta=False)
    wrong_N = np.cumsum(~reading.right_N[np.argsort(-reading.confidence_N, kind="stable")])
    bounds = {k: beta.ppf(1 - 0.05 / 8, wrong_N[k - 1] + 1, k - wrong_N[k - 1]) for k in (300, 390, 480, 540, 570, 600)}
    surest = min(bounds, key=bounds.__getitem__)

    app = open_page("evaluate", project=trained.name, section="Trust")

    assert not app.exception
    (text,) = (info.value for info in app.info)
    assert f"of the {surest} surest answers {wrong_N[surest - 1]} are wrong, so it may be {bounds[surest]:.3%}" in text
    assert "takes" not in text


def test_a_start_without_an_error_that_is_too_short_says_how_long_it_takes(
    home: Home, open_page: OpenPage, trained: Project
) -> None:
    """Of 610 the 410 surest are right, of which 65% of all are looked at; 0.05 / 8 at 1% takes 505."""
    write_run(home, trained, "val", wrong=200, n=610)

    app = open_page("evaluate", project=trained.name, section="Trust")

    assert not app.exception
    (text,) = (info.value for info in app.info)
    assert f"the 397 surest answers are all right, but these are too few: {1 - (0.05 / 8) ** (1 / 397):.3%}" in text
    assert "It takes 505 without an error" in text
    assert "Look at" not in text


def test_the_one_sure_error_in_the_way_of_a_threshold_is_pointed_at(
    home: Home, open_page: OpenPage, trained: Project
) -> None:
    """The 380th of 610 is wrong, then none before the 571st; without that one the 549 surest would do for 1%."""
    made = write_run(home, trained, "val", wrong=40, n=610)
    log_probs_VNPC = made.log_probs_VNPC.copy()
    place = np.argsort(-made.reading(spec_of(trained), tta=False).confidence_N)[379]
    log_probs_VNPC[0, place, 0] = np.roll(log_probs_VNPC[0, place, 0], 1)
    replace(made, log_probs_VNPC=log_probs_VNPC).save(home.run(RUN) / "predictions-val.npz")

    app = open_page("evaluate", project=trained.name, section="Trust")

    assert not app.exception
    worst = beta.ppf(1 - 0.05 / 8, 2, 548)
    assert f"of the 549 surest answers 1 is wrong, so it may be {worst:.3%}. Look at the surest" in app.info[0].value


def test_equally_sure_answers_are_counted_together_when_no_threshold_holds(
    home: Home, open_page: OpenPage, trained: Project
) -> None:
    """All 600 are as sure as each other, and the last 50 wrong: half of them are no start without an error."""
    made = write_run(home, trained, "val", wrong=0)
    log_probs_VNPC = -np.log(1 + 3 * np.exp(-6)) - 6 * (made.log_probs_VNPC < np.log(0.5)).astype(np.float32)
    log_probs_VNPC[:, -50:, 0] = np.roll(log_probs_VNPC[:, -50:, 0], 1, axis=2)
    replace(made, log_probs_VNPC=log_probs_VNPC).save(home.run(RUN) / "predictions-val.npz")

    app = open_page("evaluate", project=trained.name, section="Trust")

    assert not app.exception
    assert "of the 600 surest answers 50 are wrong" in app.info[0].value


@pytest.mark.parametrize(("n", "wrong"), [(5, 0), (600, 0), (600, 60)])
def test_the_temperature_is_said_with_the_log_loss_that_it_lowers(
    home: Home, open_page: OpenPage, trained: Project, n: int, wrong: int
) -> None:
    """By hand from the readings. Five right answers do not change how sure the run is."""
    reading = write_run(home, trained, "val", wrong=wrong, n=n).reading(spec_of(trained), tta=False)

    def loss(temperature: float) -> str:
        sure_N = confidence(reading.log_probs_NPC, temperature)
        return f"{-np.log(np.where(reading.right_N, sure_N, 1 - sure_N)).mean():.4f}"

    text = said(open_page("evaluate", project=trained.name, section="Trust"))

    if n == 5:
        assert f"keeps its temperature, 1.00, and its log loss, {loss(1.0)}" in text
    else:
        assert f"its log loss goes from {loss(1.0)} to {loss(reading.temperature)}" in text
        assert loss(reading.temperature) < loss(1.0)


def test_what_was_asked_for_is_still_there_after_a_look_at_another_section(
    home: Home, open_page: OpenPage, trained: Project
) -> None:
    """The risk, the lockout, what the images show, and how small a part may be."""
    write_run(home, trained, "val", wrong=60)
    app = open_page("evaluate", project=trained.name, section="Trust")

    def turn_to(section: str) -> None:
        del app.session_state["section"]  # AppTest cannot click a tab
        app.query_params["project"], app.query_params["section"] = trained.name, section
        app.run()
        assert not app.exception

    app.number_input(key="risk wrong").set_value(20).run()
    app.segmented_control(key="risk rule").set_value("lockout").run()
    app.number_input(key="risk tries").set_value(5).run()
    app.number_input(key="risk logins").set_value(1000).run()
    turn_to("Errors")
    app.toggle(key="probabilities").set_value(True).run()
    turn_to("Parts")
    app.slider(key="part of").set_value(80).run()
    app.text_input(key="filter").set_value("wrong").run()
    assert app.toggle(key="probabilities").value
    app.text_input(key="filter").set_value("").run()
    assert app.slider(key="part of").value == 80
    turn_to("Trust")

    assert app.segmented_control(key="risk rule").value == "lockout"
    assert (app.number_input(key="risk tries").value, app.number_input(key="risk logins").value) == (5, 1000)
    app.segmented_control(key="risk rule").set_value("wrong").run()
    assert app.number_input(key="risk wrong").value == 20
    turn_to("Parts")
    assert app.slider(key="part of").value == 80
    turn_to("Errors")
    assert app.toggle(key="probabilities").value


def test_parts_say_when_nothing_is_wrong(home: Home, open_page: OpenPage, trained: Project) -> None:
    """And where to look instead."""
    write_run(home, trained, "val", wrong=0)

    app = open_page("evaluate", project=trained.name, section="Parts")

    assert not app.exception
    assert "None of these images was read wrong" in said(app)
    assert app.dataframe[0].value["From"].is_monotonic_increasing


def test_the_page_offers_the_report(open_page: OpenPage, trained: Project) -> None:
    """In its own section, with the command that writes the same."""
    app = open_page("evaluate", project=trained.name, section="Report")

    assert not app.exception
    assert len(app.get("download_button")) == 1
    assert "slotlab report 1 --split val --no-tta --out FILE" in said(app)
    app.toggle(key="tta").set_value(True).run()
    assert "slotlab report 1 --split val --tta --out FILE" in said(app)
