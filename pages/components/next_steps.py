"""The next steps with a project, most important first: on its card on Home, and at the end of Label's queue."""

from typing import NamedTuple

from core.data.kinds import Counts, is_mixed, labels_by_kind
from core.data.proposals import rule_of
from core.runs.forecast import WARM_LABELS
from core.runs.promotions import default_run
from core.words import plural
from db.records import ACTIVE, Project, Run
from db.runs import list_runs
from db.samples import counts
from db.sqlite import Database
from pages.components import layout

MANY_MORE = 1.5
"""Labels for training, of those that a run had, from which another run is the next step."""
TITLES = {"in use": "Run in use", "best": "Best run", "newest": "Newest run"}


class NextStep(NamedTuple):
    """A link to what to do next."""

    page: str
    """Name of the page."""
    label: str
    icon: str
    query: dict[str, str]


def shown_run(db: Database, project: Project) -> tuple[Run | None, str, int]:
    """Return the run of a project's card, with a title, and the most training images of any run of the project.

    It is an active run, else the one that other pages show first.
    """
    runs = {run.job.id: run for run in list_runs(db, project.id)}
    newest, most = next(iter(runs.values()), None), max((run.train_n for run in runs.values()), default=0)
    if newest and newest.job.state in ACTIVE:
        return newest, "Newest run", most
    found = default_run(db, layout.home(), project, runs)
    return (runs[found[0]], TITLES[found[1]], most) if found else (None, "Newest run", most)


def find_next_steps(db: Database, project: Project) -> list[NextStep]:
    """Return the next steps with a project as it is now."""
    run, _, trained = shown_run(db, project)
    usable = rule_of(db, project).usable
    return next_steps(project, run, labels_by_kind(db, project), counts(db, project.id), trained=trained, usable=usable)


def next_steps(
    project: Project,
    run: Run | None,
    kinds: Counts,
    count: dict[tuple[str, str], int],
    *,
    trained: int,
    usable: bool,
) -> list[NextStep]:
    """Return the next steps with a project. `run` is the one of its card.

    `kinds`: its labels. `count`: its images by split and state. `trained`: the most training images that a run had.
    `usable`: the general readers have read the project and can be used.
    """
    if not count:
        return [NextStep("home", "Import images", ":material/upload:", {"project": project.name})]
    unlabeled = sum(n for (_, state), n in count.items() if state == "unlabeled")
    trainable = count.get(("train", "labeled"), 0)
    here = {"project": project.name}
    of_run = here | ({"run": run.job.id} if run else {})
    steps = []
    if run is not None and run.job.state in ACTIVE:
        steps.append(NextStep("train", "View run", ":material/show_chart:", of_run))
    elif run is not None and run.score is not None:
        if trainable >= MANY_MORE * trained:
            new = f"Train with {plural(trainable - trained, 'new label')}"
            steps.append(NextStep("train", new, ":material/play_arrow:", here))
        steps.append(NextStep("evaluate", "View errors", ":material/grid_on:", of_run))
    elif kinds and (is_mixed(kinds) or not unlabeled or trainable >= WARM_LABELS):
        # Accepted readings leave val and test unlabeled.
        steps.append(NextStep("train", "Train a model", ":material/play_arrow:", here))
    if unlabeled and not kinds:
        label = "Accept readings" if usable else "Propose readings"
        steps.append(NextStep("propose", label, ":material/auto_stories:", here))
    if unlabeled:
        steps.append(NextStep("label", f"Label {plural(unlabeled, 'image')}", ":material/keyboard:", here))
    return steps
