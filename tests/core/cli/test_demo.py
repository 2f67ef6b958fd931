"""The demo: import, train and evaluate once, and reuse the results."""

from dataclasses import replace

import pytest

from core.cli import demo
from core.cli.progress import Progress
from core.errors import OptionError
from core.home import Home
from core.model import config
from db import projects, samples
from db.connection import opened, write

TINY = replace(
    config.PRESETS["fast"], max_steps=6, batch_size=8, image_size=(32, 96), width=32, pretrained="none", device="cpu"
)


def run(home: Home, *, fresh: bool = False) -> demo.Result:
    return demo.run(home, count=60, fresh=fresh, progress=Progress(), settings=TINY)


@pytest.mark.long
def test_the_demo_makes_data_a_run_and_a_held_out_result_and_reuses_them(home: Home) -> None:
    """The second call does not use the test set again; --fresh starts over and keeps other files."""
    first = run(home)
    again = run(home)

    assert again == first
    assert f"{first.correct}/{first.n} = " in first.text
    assert "95% interval" in first.text
    with opened(home.db) as db:
        project = projects.find_project(db, demo.PROJECT)
        assert project is not None
        assert samples.count_samples(db, project.id, state="labeled") == 60

    (home.root / "notes.txt").write_text("mine")
    restarted = run(home, fresh=True)

    assert (restarted.n, restarted.correct) == (first.n, first.correct)
    assert (home.root / "notes.txt").read_text() == "mine"


@pytest.mark.long
def test_the_demo_without_a_label_trains_on_what_the_readers_agree_on(home: Home) -> None:
    """The truth of the test images comes in after the run. No validation image ever gets a label."""
    result = demo.run(home, count=60, fresh=False, progress=Progress(), zero=True, settings=TINY)
    again = demo.run(home, count=60, fresh=False, progress=Progress(), zero=True, settings=TINY)

    assert again == result
    with opened(home.db) as db:
        project = projects.find_project(db, demo.ZERO_PROJECT)
        assert project is not None
        counts = samples.label_counts(db, project.id)
    assert set(counts) == {("train", "readers"), ("test", "import")}
    assert counts["test", "import"] == result.n
    assert f"gave {counts['train', 'readers']} training images" in result.text


@pytest.mark.parametrize("archived", [False, True])
def test_starting_over_is_refused_beside_other_projects(home: Home, archived: bool) -> None:
    """Nothing is deleted, also not what lists leave out."""
    with opened(home.db, create=True) as db, write(db):
        project = projects.insert_project(db, "portal", 6, "0123456789")
        projects.set_archived(db, project.id, archived=archived)

    with pytest.raises(OptionError, match="also contains portal, so nothing was deleted"):
        run(home, fresh=True)

    assert home.db.exists()
