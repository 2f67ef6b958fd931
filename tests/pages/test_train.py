"""The Train page: it starts runs and shows the contents of their directories."""

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from core.backup import removal
from core.data.copying import copy_project
from core.data.labeling import apply_events
from core.home import Home
from core.images.augment_settings import check_augment
from core.images.pixels import encode_png
from core.jobs import control
from core.jobs.jobdir import JobDir
from core.model.config import TrainConfig
from core.runs.start import start_training
from db import projects, runs, samples
from db.connection import opened, write
from db.records import Project
from tests.helpers.repository import ROOT
from tests.helpers.runs import add_finished, add_labeled
from tests.helpers.sources import move_to_source
from tests.helpers.waiting import wait_for_end, wait_until, wait_until_working

OpenPage = Callable[..., AppTest]
pytestmark = pytest.mark.usefixtures("stand_in")


def start(home: Home, project: Project) -> JobDir:
    with opened(home.db) as db:
        run = start_training(db, home, project, TrainConfig(device="cpu"), preset="fast", operator="ada")
    return JobDir(home.run(run.job.id))


def click(app: AppTest, label: str) -> AppTest:
    button = next(button for button in app.button if button.label == label)
    return button.click().run()


def texts(elements: object) -> str:
    return " | ".join(element.value for element in elements)  # type: ignore[attr-defined]


def labels_of_buttons(app: AppTest) -> list[str]:
    return [button.label for button in app.button]


def val_line(step: int, correct: int, per_position: float) -> dict[str, object]:
    return {
        "kind": "val", "step": step, "epoch": 1, "loss": 2.3, "n": 10, "correct": correct, "exact": correct / 10,
        "per_position": [per_position] * 3, "seconds": 1.0,
    }  # fmt: skip


def test_without_labels_the_page_says_what_to_do(open_page: OpenPage, home: Home) -> None:
    """Without labels there is no form."""
    with opened(home.db, create=True) as db, write(db):
        projects.insert_project(db, "portal", 6, "0123456789")

    app = open_page("train", project="portal")

    assert not app.exception
    assert "No labels yet" in texts(app.info)
    assert [link.proto.label for link in app.main.get("page_link")] == ["Propose readings", "Label images"]
    assert "Start training" not in labels_of_buttons(app)


def test_start_shows_the_run_and_a_second_press_starts_no_other(
    open_page: OpenPage, home: Home, labeled: Project
) -> None:
    """The form shows the counts of labels. Its button starts one run only."""
    app = open_page("train", project="portal")
    assert "**4** for training" in texts(app.markdown)
    assert "How many labels do I need?" in [expander.label for expander in app.expander]
    assert not app.get("plotly_chart")  # three folded charts would delay the page
    app.session_state["label curve"] = True
    assert len(app.run().get("plotly_chart")) == 3
    request_id = app.session_state["train request"]

    click(app, "Start training")
    assert not app.exception
    assert app.session_state["run"] == "0001-fast"
    assert "Start training" not in labels_of_buttons(app)
    assert "Cancel" in labels_of_buttons(app)

    with opened(home.db) as db:
        again = start_training(db, home, labeled, TrainConfig(), preset="fast", operator="ada", request_id=request_id)
        assert again.job.id == "0001-fast"
        assert len(runs.list_runs(db)) == 1


def test_settings_reach_the_run(open_page: OpenPage, home: Home, labeled: Project) -> None:
    """The run gets the settings chosen here and on Augment. All others keep their defaults."""
    app = open_page("train", project="portal")
    app.session_state["augment"] = {labeled.id: {}}
    app.text_input(key="fast batch_size").set_value("7").run()
    app.selectbox(key="fast device").set_value("cpu").run()
    assert "settings of the Augment page" in texts(app.caption)

    click(app, "Start training")

    config = json.loads((home.run("0001-fast") / "run.json").read_text())["config"]
    assert TrainConfig.from_dict(config) == TrainConfig(batch_size=7, device="cpu", augment={})


def test_a_source_can_be_held_out(open_page: OpenPage, home: Home, labeled: Project) -> None:
    """The form says what is left. A clone holds out the same source, and lists the change of it."""
    with opened(home.db) as db:
        move_to_source(db, labeled, "june", "456", "457")
    app = open_page("train", project="portal")
    box = app.selectbox(key="fast hold_out_source")
    assert (box.options, box.value) == (["none", "images", "june"], "")

    app = box.select("june").run()
    assert "Without source june: 3 training images and 1 for validation." in texts(app.caption).replace("\\", "")
    app = click(app, "Start training")
    assert not app.exception
    with opened(home.db) as db:
        (run,) = runs.list_runs(db, labeled.id)
    assert (json.loads(run.config)["hold_out_source"], run.train_n, run.val_n) == ("june", 3, 1)

    app = click(app, "Clone")
    assert app.selectbox(key="0001-fast hold_out_source").value == "june"
    assert "No differences from 0001" in texts(app.info)
    app = app.selectbox(key="0001-fast hold_out_source").select("").run()
    changes = texts(app.markdown)
    assert "june → **none**" in changes
    assert "training images: 3 → **4**" in changes
    assert "validation images: 1 → **2**" in changes


def test_a_wrong_setting_is_one_sentence(open_page: OpenPage, labeled: Project) -> None:
    """The form has no Start button then."""
    app = open_page("train", project="portal")

    app.text_input(key="fast batch_size").set_value("many").run()

    assert "Batch size must be a whole number" in texts(app.error)  # the title of the field
    assert "Start training" not in labels_of_buttons(app)


def test_a_refusal_is_shown_with_its_counts(open_page: OpenPage, home: Home, labeled: Project) -> None:
    """The page shows the error of core about the data."""
    for text in ("123", "457"):
        relabel(home, labeled, "val", text, None)
    app = open_page("train", project="portal")

    click(app, "Start training")

    assert "4 labeled training images and 0 for validation" in texts(app.error)
    with opened(home.db) as db:
        assert runs.list_runs(db) == []


def test_a_link_to_a_run_shows_it_live(open_page: OpenPage, home: Home, labeled: Project) -> None:
    """Progress, the validation result with its interval, and the diagnosis of a plateau."""
    job = start(home, labeled)
    wait_until_working(job)
    for step in (5, 10):
        job.append_metrics({"kind": "step", "step": step, "epoch": 1, "loss": 2.3, "accuracy": 0.1, "lr": 1e-3})
    job.append_metrics(val_line(10, correct=0, per_position=0.1))

    app = open_page("train", project="portal", run=job.id)

    assert not app.exception
    assert app.metric[0].value == "0/10 = 0.0%"
    assert app.metric[0].delta == "95% interval 0.0% to 30.8%"
    assert "**Plateau.** At chance after 10 of 1,000,000 steps" in texts(app.info)
    assert "models often start to learn suddenly" in texts(app.info)
    assert len(app.get("plotly_chart")) == 3

    job.append_metrics(val_line(20, correct=9, per_position=0.95))
    app.run()
    assert app.metric[0].value == "9/10 = 90.0%"
    assert "**Learning.** 95% of the validation characters and 9 of 10 images" in texts(app.info)
    assert "Plateau" not in texts(app.info)


def test_a_past_run_shows_what_went_wrong(open_page: OpenPage, home: Home, labeled: Project) -> None:
    """The diagnosis stays. For a failure whose reason is shown, only the advice is added."""
    job = start(home, labeled)
    wait_until_working(job)
    for step in (10, 20):
        job.append_metrics({"kind": "step", "step": step, "epoch": 1, "loss": 0.9, "accuracy": 0.7, "lr": 1e-3})
        job.append_metrics(val_line(step, correct=0, per_position=0.95) | {"per_position": [0.95, 0.1, 0.95]})
    job.write("cancel", {"at": time.time()})
    wait_for_end(job)

    app = open_page("train", project="portal", run=job.id)
    assert "**Dead head.** Position 2 is still at chance" in texts(app.warning)

    job.remove("cancel")
    reason = "Out of memory with `batch_size=32` and `image_size=48x192`."
    job.write("status.json", {"state": "running", "reason": reason, "cause": "out_of_memory"})
    job.write("exit.json", {"code": 1, "signal": None})
    app.run()
    assert not app.exception
    assert [error.value for error in app.error] == [r"Out of memory with Batch size 32 and Image size 48x192\."]
    advice = r"Start a new run with a smaller Batch size \(now 32\) or Image size\."
    assert rf"**Out of memory.** Resuming would use the same settings\. {advice}" in texts(app.warning)


def test_a_queued_run_says_for_whom_it_waits(open_page: OpenPage, home: Home, labeled: Project) -> None:
    """The holder of the device is named."""
    first = start(home, labeled)
    wait_until_working(first)
    second = start(home, labeled)
    while second.observe().state != "queued":
        time.sleep(0.05)

    app = open_page("train", project="portal", run=second.id)

    assert r"run 0001\-fast is using it" in texts(app.info)


def test_the_form_says_after_which_run_a_new_one_starts(open_page: OpenPage, home: Home, labeled: Project) -> None:
    """That is the last of the queue, else the run that uses the device."""
    assert "Starts after" not in texts(open_page("train", project="portal").caption)
    first = start(home, labeled)
    wait_until_working(first)
    assert r"Starts after run 0001\-fast\." in texts(open_page("train", project="portal").caption)
    second = start(home, labeled)
    wait_until(lambda: second.observe().state == "queued")
    assert r"Starts after run 0002\-fast\." in texts(open_page("train", project="portal").caption)
    for job in (second, first):
        job.write("cancel", {})
    wait_until(lambda: not first.is_alive)
    assert "Starts after" not in texts(open_page("train", project="portal").caption)


def test_the_end_of_a_run_is_said_on_another_page(open_page: OpenPage, home: Home, labeled: Project) -> None:
    """Once, to those who have seen the run at work."""
    seen, other = start(home, labeled), start(home, labeled)
    wait_until_working(seen)
    app = open_page("train", project="portal", run=seen.id)
    app.switch_page("pages/samples.py").run()
    assert not app.toast

    for job in (other, seen):
        job.write("cancel", {})
        wait_for_end(job)
    app.run()
    assert [toast.value for toast in app.toast] == [r"Run 0001\-fast is canceled\."]
    assert not app.run().toast


def test_cancel_and_resume(open_page: OpenPage, home: Home, labeled: Project) -> None:
    """Each takes one click. A canceled run shows its step and can be resumed."""
    job = start(home, labeled)
    wait_until_working(job)
    app = open_page("train", project="portal", run=job.id)

    click(app, "Cancel")
    assert job.cancel_asked
    assert not app.toast
    wait_for_end(job)
    app.run()
    assert "Canceled at step" in texts(app.warning)
    assert [toast.value for toast in app.toast] == [r"Run 0001\-fast is canceled\."]
    assert not app.run().toast

    click(app, "Resume")
    wait_until_working(job)
    app.run()
    assert not app.exception
    assert "Cancel" in labels_of_buttons(app)


def test_a_failed_run_shows_reason_and_log(open_page: OpenPage, home: Home, labeled: Project) -> None:
    """The reason comes first, the traceback below. Neither is interpreted as Markdown."""
    job = start(home, labeled)
    wait_until_working(job)
    job.kill()
    wait_for_end(job)
    job.write("exit.json", {"error": "Bad *news*."})
    (job.path / "log.txt").write_text("Traceback **here**\n")

    app = open_page("train", project="portal", run="1")
    assert app.session_state["run"] == job.id == "0001-fast"

    assert [error.value for error in app.error] == [r"Bad \*news\*\."]
    assert "Traceback **here**" in texts(app.code)
    assert "Resume" in labels_of_buttons(app)


def test_an_unknown_run_in_the_address_is_named(open_page: OpenPage, labeled: Project) -> None:
    """A link to a run of another project, or to a deleted run, does not show another run instead."""
    app = open_page("train", project="portal", run="0099-fast")

    assert not app.exception
    assert "This project has no run '0099\\-fast'" in texts(app.error)


def test_the_page_does_without_torch(home: Home, labeled: Project) -> None:
    """Torch takes 500 MB and 5 s. Training runs in a separate process."""
    script = """
import sys
from streamlit.testing.v1 import AppTest
app = AppTest.from_file("app.py", default_timeout=60).switch_page("pages/train.py").run()
assert [title.value for title in app.title] == ["Train"] and not app.exception
print({"torch", "albumentations", "cv2"} & set(sys.modules))
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(Path(ROOT))},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "set()"


def set_config(home: Home, run_id: str, **changes: object) -> None:
    """Change the stored configuration of a run, as if another version had written it."""
    with opened(home.db) as db:
        run = runs.find_run(db, run_id)
        assert run is not None
        config = json.dumps(json.loads(run.config) | changes)
        db.execute("UPDATE runs SET config = ? WHERE job_id = ?", [config, run_id])


def test_a_clone_has_the_settings_of_its_original(open_page: OpenPage, home: Home, labeled: Project) -> None:
    """The clone also gets settings without a field and the augmentation. Only edits differ, and they are listed."""
    config = TrainConfig(
        device="cpu", lr=0.0005, batch_size=5, ink=False, auto_steps=77, augment={"affine": {"p": 0.3}}
    )
    with opened(home.db) as db:
        first = start_training(db, home, labeled, config, preset="article", operator="ada").job
    original = json.loads((home.run(first.id) / "run.json").read_text())["config"]
    app = open_page("train", project="portal", run=first.id)

    click(app, "Clone")
    assert not app.exception
    assert "Clone of **0001\\-article**" in texts(app.markdown)
    assert app.text_input(key="0001-article lr").value == "0.0005"
    assert "No differences from 0001\\-article yet" in texts(app.info)

    app.text_input(key="0001-article lr").set_value("0.001").run()
    assert "* Learning rate: 0\\.0005 → **0\\.001**" in texts(app.markdown)
    assert texts(app.markdown).count("→") == 1
    click(app, "Start training")

    assert not app.exception
    config = json.loads((home.run("0002-article") / "run.json").read_text())["config"]
    assert config == original | {"lr": 0.001, "augment": check_augment({"affine": {"p": 0.3}})}
    assert config["auto_steps"] == 77


def test_a_second_clone_starts_from_the_original_again(open_page: OpenPage, home: Home, labeled: Project) -> None:
    """Edits of an earlier clone are dropped. A new run starts from a preset."""
    job = start(home, labeled)
    app = open_page("train", project="portal", run=job.id)
    click(app, "Clone")
    app.text_input(key=f"{job.id} batch_size").set_value("9").run()
    assert "Batch size: 32 → **9**" in texts(app.markdown)

    click(app, "Use a preset")
    assert not app.exception
    assert "Clone of" not in texts(app.markdown)
    assert app.text_input(key="fast batch_size").value == "32"
    app.selectbox(key="run").set_value(job.id).run()
    click(app, "Clone")

    assert app.text_input(key=f"{job.id} batch_size").value == "32"
    assert "No differences" in texts(app.info)


def test_a_clone_reports_more_images(open_page: OpenPage, home: Home, labeled: Project) -> None:
    """Settings are copied. Labels are current."""
    job = start(home, labeled)
    relabel(home, labeled, "train", "124", None)

    app = click(open_page("train", project="portal", run=job.id), "Clone")

    assert "training images: 4 → **3**" in texts(app.markdown)


def relabel(home: Home, project: Project, split: str, text: str | None, new: str | None) -> None:
    """Label an image as the Label page does. None skips it."""
    with opened(home.db) as db:
        state = "labeled" if text else "unlabeled"
        found = samples.select_samples(db, project.id, split=split, state=state)
        sample = next(one for one in found if one.label == text)
        event = {
            "event": uuid.uuid4().hex, "action": "label" if new else "skip", "sample": sample.sha256, "text": new,
            "flag": None, "base": sample.version, "after": None, "operator": "ada",
        }  # fmt: skip
        assert [outcome.status for outcome in apply_events(db, project, "ada", [event])] == ["saved"]


def test_a_clone_reports_changed_labels(open_page: OpenPage, home: Home, labeled: Project) -> None:
    """Equal counts do not mean equal data. A label changed back is not a change."""
    job = start(home, labeled)
    relabel(home, labeled, "train", "124", "125")
    relabel(home, labeled, "val", "457", "458")
    relabel(home, labeled, "train", "789", "788")
    relabel(home, labeled, "train", "788", "789")
    relabel(home, labeled, "test", "789", "780")

    app = click(open_page("train", project="portal", run=job.id), "Clone")

    assert "No differences" not in texts(app.info)
    assert "labels changed: **2**" in texts(app.markdown)
    assert "images:" not in texts(app.markdown)


def test_a_clone_reports_other_images(open_page: OpenPage, home: Home, labeled: Project) -> None:
    """Both splits are listed, also if one image replaced another."""
    job = start(home, labeled)
    relabel(home, labeled, "val", "457", None)
    relabel(home, labeled, "train", "124", None)
    with opened(home.db) as db, write(db):
        source = projects.insert_source(db, labeled.id, "more", "the team", "ticket 2")
        samples.insert_sample(
            db, project_id=labeled.id, source_id=source.id, sha256="f" * 64, name="more.png", width=8, height=4,
            split="train", image=encode_png(np.full((4, 8, 3), 99, np.uint8)),
        )  # fmt: skip
    relabel(home, labeled, "train", None, "321")

    app = click(open_page("train", project="portal", run=job.id), "Clone")

    assert "training images: 4 → **4**, 1 of them new" in texts(app.markdown)
    assert "validation images: 2 → **1**" in texts(app.markdown)
    assert "labels changed" not in texts(app.markdown)


def test_unknown_data_of_a_clone_is_reported(open_page: OpenPage, home: Home, labeled: Project) -> None:
    """The form stays usable."""
    job = start(home, labeled)
    relabel(home, labeled, "train", "124", "125")
    (job.path / "dataset.npz").unlink()
    app = click(open_page("train", project="portal", run=job.id), "Clone")

    assert "* labels\\: unknown" in texts(app.markdown)
    app.toggle(key=f"{job.id} drop_seen_strings").set_value(True).run()
    assert "* training images\\: unknown" in texts(app.markdown)
    assert "Start training" in labels_of_buttons(app)


def test_a_run_that_was_deleted_meanwhile_is_not_copied(open_page: OpenPage, home: Home, labeled: Project) -> None:
    """The page says so and shows no form with other settings."""
    job = start(home, labeled)
    job.write("cancel", {})
    wait_for_end(job)
    app = open_page("train", project="portal", run=job.id)
    with opened(home.db) as db:
        control.reconcile(db, home)
        removal.delete_run(db, home, runs.list_runs(db)[0], typed=job.id, operator="Ann")

    click(app, "Clone")

    assert r"Run 0001\-fast has been deleted\." in texts(app.error)
    assert "New run" not in texts(app.subheader)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"wings": 2}, "settings that this version does not know: wings"),
        ({"head": "psychic"}, "head must be one of query, flatten, pool, got 'psychic'"),
        ({"augment": {"blackout": {"p": 1}}}, "blackout"),
    ],
)
def test_a_run_that_cannot_be_copied_says_why(
    open_page: OpenPage, home: Home, labeled: Project, changes: dict[str, object], sentence: str
) -> None:
    """Settings of another version give one sentence, and the page still shows the run."""
    job = start(home, labeled)
    set_config(home, job.id, **changes)

    app = click(open_page("train", project="portal", run=job.id), "Clone")

    assert not app.exception
    assert sentence in texts(app.error).replace("\\", "")
    assert app.session_state["run"] == job.id


def test_another_run_can_be_overlaid(open_page: OpenPage, home: Home, labeled: Project) -> None:
    """Both curves are live while either run is active. A run is not overlaid on itself."""
    first = start(home, labeled)
    wait_until_working(first)  # else the second may take the device
    second = start(home, labeled)
    for job, correct in ((first, 3), (second, 5)):
        for step in (5, 10):
            line = {"kind": "step", "step": step, "epoch": 1, "loss": 2.3, "accuracy": 0.1, "lr": 1e-3, "seconds": step}
            job.append_metrics(line)
        job.append_metrics(val_line(10, correct=correct, per_position=0.1))

    app = open_page("train", project="portal", run="1", over="2")

    assert not app.exception
    assert (app.selectbox(key="run").value, app.selectbox(key="over").value) == (first.id, second.id)
    assert len(app.get("plotly_chart")) == 2
    accuracy = json.loads(app.get("plotly_chart")[1].proto.spec)["data"]
    assert {trace["name"]: trace["y"] for trace in accuracy if "name" in trace} == {first.id: [0.3], second.id: [0.5]}
    second.append_metrics(val_line(20, correct=9, per_position=0.9))
    app.run()
    accuracy = json.loads(app.get("plotly_chart")[1].proto.spec)["data"]
    assert {trace["name"]: trace["y"] for trace in accuracy if "name" in trace}[second.id] == [0.5, 0.9]

    app.selectbox(key="run").set_value(second.id).run()
    assert not app.exception
    assert app.selectbox(key="over").value is None
    assert len(app.get("plotly_chart")) == 3


def test_the_queue_is_listed_moved_and_left(open_page: OpenPage, home: Home, labeled: Project) -> None:
    """The queue is in order. Moving a run that no longer waits gives one sentence, and no run is lost."""
    jobs_ = [start(home, labeled)]
    wait_until_working(jobs_[0])  # otherwise a later run may be the first to reach the device
    jobs_ += [start(home, labeled) for _ in range(3)]
    while len(control.queue(home).get("cpu", [])) < 3:
        time.sleep(0.05)
    app = open_page("train", project="portal")
    assert "3 waiting for the CPU" in texts(app.caption)

    app.button(key="Up 0004-fast").click().run()
    assert control.queue(home) == {"cpu": ["0002-fast", "0004-fast", "0003-fast"]}
    app.button(key="First 0003-fast").click().run()
    app.button(key="Down 0002-fast").click().run()
    assert control.queue(home) == {"cpu": ["0003-fast", "0004-fast", "0002-fast"]}
    assert [text.value for text in app.markdown if "fast" in text.value] == [
        r"1\. 0003\-fast", r"2\. 0004\-fast", r"3\. 0002\-fast",
    ]  # fmt: skip

    app.button(key="unqueue 0003-fast").click().run()
    wait_for_end(jobs_[2])
    assert control.queue(home) == {"cpu": ["0004-fast", "0002-fast"]}
    app.run()
    jobs_[3].write("cancel", {"at": time.time()})
    app.button(key="Up 0002-fast").click().run()
    assert not app.exception
    assert "Run 0004-fast is no longer in this queue." in texts(app.error).replace("\\", "")
    jobs_[0].write("cancel", {"at": time.time()})
    wait_until_working(jobs_[1])


def test_the_sidebar_leads_to_the_run_on_the_page(open_page: OpenPage, trained: Project) -> None:
    """A new run is none, so the link to Train names none from the first drawing."""

    def links(app: AppTest) -> list[str]:
        return [link.proto.query_string for link in app.sidebar.get("page_link") if link.proto.label == "Train"]

    app = open_page("train", project=trained.name, run="0001-fast")
    assert links(app) == ["project=portal&run=0001-fast"]

    click(app, "New run")
    assert links(app) == ["project=portal"]


def test_the_first_run_of_a_copy_begins_from_its_original(open_page: OpenPage, home: Home, labeled: Project) -> None:
    """The field has the run, and a sentence says why. The next run begins as usual, and so does one of the original."""
    with opened(home.db) as db:
        name = add_finished(db, labeled, "people", 2, 2)
        checkpoints = home.run(name) / "checkpoints"
        checkpoints.mkdir(parents=True)
        (checkpoints / "1.json").write_text("{}")
        copy, _ = copy_project(db, labeled, "copy", operator="ada")
        add_labeled(db, copy, train=["125", "126"])
    app = open_page("train", project="copy")
    assert app.text_input(key=f"fast from {name} init").value == name
    assert f"weights of run {name} of project portal" in texts(app.caption).replace("\\", "")
    app.segmented_control(key="preset").set_value("article").run()
    assert app.text_input(key="article init").value == "auto"
    app.segmented_control(key="preset").set_value("fast").run()

    click(app, "Start training")

    assert not app.exception
    with opened(home.db) as db:
        (run,) = runs.list_runs(db, copy.id)
    assert json.loads(run.config)["init"] == name
    for project in ("copy", "portal"):
        assert open_page("train", project=project).text_input(key="fast init").value == "auto"
