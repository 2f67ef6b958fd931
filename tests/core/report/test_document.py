"""The report: one complete HTML file with the figures of the predictions."""

from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from scipy.stats import binomtest

from core.charset import TextSpec, spec_of
from core.cli import results
from core.data.importing import open_source
from core.errors import SlotlabError
from core.evaluation.acceptance import Acceptance
from core.evaluation.calibration import choose_threshold
from core.home import Home
from core.report.document import make_report
from core.runs.evaluated import load_evaluated
from db.connection import opened, write
from db.evaluations import insert_test_use, list_test_uses
from db.records import Project
from db.runs import find_run
from tests.helpers.labs import add_unreadable, remove_labels
from tests.helpers.trained import RUN, stored, write_run


class Page(HTMLParser):
    """Text, tags and URLs of an HTML file. Asserts that every opened tag is closed."""

    VOID = ("meta", "img", "br")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.open += [] if tag in self.VOID else [tag]
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "action", "data")]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return "\n".join(self.texts)


def report_of(home: Home, split: str = "val", *, tta: bool = False) -> str:
    with opened(home.db) as db:
        run = find_run(db, RUN)
        assert run is not None
        return make_report(db, home, load_evaluated(db, home, run, split, tta=tta))


@pytest.mark.parametrize("wrong", [0, 60])
def test_the_report_is_one_whole_file_with_the_numbers_of_the_predictions(
    home: Home, trained: Project, wrong: int
) -> None:
    """No script and no URL except its own images; k, n and interval of each row recomputed."""
    made = write_run(home, trained, "val", wrong=wrong)
    reading = made.reading(spec_of(trained), tta=False)

    text = report_of(home)
    page = Page(text)

    assert page.open == []
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    assert all(address.startswith("data:image/") for address in page.addresses)
    assert "http" not in text.replace("\n", "")
    assert "url(" not in text
    assert "@import" not in text
    assert page.tags.count("img") == min(wrong, 40) + 12
    assert len(text.encode()) < 3_000_000
    for correct in [600 - wrong, *(reading.predicted_NP == reading.targets_NP).sum(axis=0).tolist()]:
        exact = binomtest(int(correct), 600).proportion_ci(0.95, "exact")
        assert f"{correct} of 600" in page.text
        assert f"{exact.low:.1%} to {exact.high:.1%}" in page.text
    assert text.count('<rect class="wrong"') >= (reading.predicted_NP != reading.targets_NP)[:, 0].any()
    assert f"With {wrong} wrong of 600, at least" in page.text
    assert "the team" in page.text
    assert "ticket 1" in page.text


def test_the_report_counts_unreadable_images_as_wrong(home: Home, trained: Project) -> None:
    """Unreadable images of another split, or none, add nothing."""
    write_run(home, trained, "val", wrong=6)
    add_unreadable(home, trained, "test", 2)
    assert "unreadable" not in report_of(home).lower()

    add_unreadable(home, trained, "val", 3)
    text = Page(report_of(home)).text

    assert "3 val images were skipped as unreadable. Counted as wrong: 594/603 = 98.5%" in text
    assert "Unreadable images counted as wrong" in text
    assert "594 of 603" in text


def test_the_report_shows_threshold_views_and_test_uses(home: Home, trained: Project) -> None:
    """The report has TTA, and the test set has been used."""
    found = stored(home)
    with opened(home.db) as db, write(db):
        insert_test_use(db, project_id=trained.id, job_id=RUN, operator="<b>ann & bob</b>")
    effect = found.tta_effect(spec_of(trained))

    page = Page(report_of(home, tta=True))

    assert f"{effect.together.correct} of {effect.n}" in page.text
    assert effect.verdict in page.text
    assert "<b>ann & bob</b>" in page.text
    assert "used once. Every evaluation on test images is recorded" in page.text


def test_the_report_shows_the_stored_bound_on_validation_images(home: Home, trained: Project) -> None:
    """On validation images, which chose it, the bound is the stored one."""
    made = write_run(home, trained, "val", wrong=60)
    reading = made.reading(spec_of(trained), tta=False)
    chosen = choose_threshold(reading.fitted_N, reading.right_N, 0.05)
    assert chosen is not None
    Acceptance(
        step=made.step, tta=False, temperature=reading.temperature, threshold=chosen.threshold, max_risk=0.05,
        n=chosen.n, used=chosen.used, wrong=chosen.wrong, risk_bound=chosen.risk_bound,
    ).save(home.run(RUN))  # fmt: skip

    page = Page(report_of(home))

    assert f"it accepts {chosen.used:,}" in page.text
    assert f"at most {chosen.risk_bound:.3%} at 95% confidence" in page.text


def test_the_report_on_test_advises_no_views(home: Home, trained: Project) -> None:
    """Views are chosen on validation images, so the test report only shows their effect."""
    found = stored(home)
    found.save(home.run(RUN) / "predictions-test.npz")
    effect = found.tta_effect(spec_of(trained))

    page = Page(report_of(home, "test", tta=True))

    assert effect.finding in page.text
    assert effect.verdict != effect.finding
    assert effect.verdict not in page.text


def test_the_report_escapes_names_and_texts(home: Home, trained: Project) -> None:
    """Project, owner, operator and charset contain characters that are special in HTML."""
    name, owner, charset = "<script>alert(1)</script>", "\"'><img src=x>", '<>&"'
    with opened(home.db) as db:
        with write(db):
            insert_test_use(db, project_id=trained.id, job_id=RUN, operator=name)
        open_source(db, trained, "other", owner, "ticket 2")
        run = find_run(db, RUN)
        assert run is not None
        shown = load_evaluated(db, home, run, "val", tta=True)
        labels = [label.translate(str.maketrans("0123", charset)) for label in shown.predictions.labels]
        text = make_report(
            db,
            home,
            replace(
                shown,
                project=replace(trained, name=name, charset=charset),
                spec=TextSpec(3, charset),
                predictions=replace(shown.predictions, labels=labels),
            ),
        )
    page = Page(text)

    assert page.open == []
    assert "script" not in page.tags
    assert all(address.startswith("data:image/") for address in page.addresses)
    assert page.texts.count(name) == 1
    assert f"{name}: run {RUN} on validation images" in page.texts
    assert f"owner {owner}; authorization ticket 2" in page.texts
    assert "label <, read as &: " in page.text
    assert set(labels) <= set(page.texts)


def test_the_command_writes_the_report(
    home: Home, trained: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It equals the report of the page; errors are one sentence each."""
    monkeypatch.setenv("SLOTLAB_HOME", str(home.root))
    results.report("1", out=tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == report_of(home)
    assert "MB" in capsys.readouterr().out

    with pytest.raises(SlotlabError, match=r"has not been evaluated on test yet; run `slotlab evaluate` first"):
        results.report("1", out=tmp_path / "x.html", split="test")
    with pytest.raises(SlotlabError, match="no split 'all'"):
        results.report("1", out=tmp_path / "x.html", split="all")
    with pytest.raises(SlotlabError, match="could not be written"):
        results.report("1", out=tmp_path / "no" / "x.html")
    with pytest.raises(SlotlabError):
        results.report("77", out=tmp_path / "x.html")
    write_run(home, trained, "val", wrong=1)
    with pytest.raises(SlotlabError, match="This evaluation has no TTA"):
        results.report("1", out=tmp_path / "x.html", tta=True)
    assert not (tmp_path / "x.html").exists()
    with opened(home.db) as db:
        assert list_test_uses(db, trained.id) == []


def test_images_that_need_a_label_again_are_left_out(home: Home, trained: Project) -> None:
    """The counts stay those of the evaluation."""
    write_run(home, trained, "val", wrong=2)
    assert "data:image" in report_of(home)

    remove_labels(home, trained, "val")

    assert "data:image" not in report_of(home)
