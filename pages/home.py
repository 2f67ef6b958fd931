"""What there is, what to do next, and the way in for images."""

import streamlit as st

from core import jobs
from db.evaluations import list_evaluations
from db.jobs import ACTIVE, list_jobs
from db.projects import list_projects
from db.records import Project, Run
from db.runs import list_runs
from db.samples import counts
from pages.components import layout
from pages.components.importing import import_form, show_import

layout.enter("home")

projects, cards, imports = [], [], []
if layout.home().db.exists():
    with layout.errors(), layout.database() as db:
        jobs.reconcile(db, layout.home())
        projects = list_projects(db)
        imports = list_jobs(db, kind="import", limit=1)
        for project in projects:
            runs = list_runs(db, project.id)[:1]
            evaluated = bool(runs and list_evaluations(db, runs[0].job.id))
            cards.append((project, runs[0] if runs else None, evaluated, counts(db, project.id)))


def show_project(project: Project, run: Run | None, evaluated: bool, count: dict[tuple[str, str], int]) -> None:
    """How far the labels are, how good the newest run is, and the next sensible step."""

    def total(*parts: str) -> int:
        return sum(n for key, n in count.items() if set(parts) <= set(key))

    with st.container(border=True):
        with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
            st.subheader(layout.plain(project.name), anchor=False)
            link_to_next_step(project, run, evaluated, total("labelled"), total("unlabelled"))
        images, labels, newest = st.columns([2, 3, 3])
        images.metric("Images", f"{total():,}")
        images.caption(f"{project.length} of {layout.plain(project.charset)}")
        labels.metric("Labelled", f"{total('labelled'):,} of {total('labelled') + total('unlabelled'):,}")
        splits = [f"{split} {total(split, 'labelled'):,}" for split in ("train", "val", "test")]
        labels.caption(" · ".join([*splits, f"skipped {total('skipped'):,}"]))
        if run is None:
            newest.metric("Newest run", "none yet")
        elif run.val_correct is None:
            newest.metric("Newest run", run.job.state)
            newest.caption(layout.plain(run.job.id + (f": {run.job.reason}" if run.job.reason else "")))
        else:
            newest.metric("Newest run, exact on val", f"{run.val_correct:,} of {run.val_n:,}")
            newest.caption(f"{layout.share(run.val_correct, run.val_n)} · {run.job.id}")


def link_to_next_step(project: Project, run: Run | None, evaluated: bool, labelled: int, unlabelled: int) -> None:
    to_label = ("pages/label.py", f"Label {unlabelled:,} images", ":material/keyboard:")
    to_train = ("pages/train.py", "Train on them", ":material/play_arrow:")
    if run is not None and run.job.state in ACTIVE:
        page, label, icon = "pages/train.py", "Watch the run", ":material/show_chart:"
    elif not labelled + unlabelled:
        return
    elif not labelled:
        page, label, icon = to_label
    elif run is None:
        page, label, icon = to_train
    elif run.val_correct is not None and not evaluated:
        page, label, icon = "pages/evaluate.py", "See where it is wrong", ":material/grid_on:"
    else:
        page, label, icon = to_label if unlabelled else to_train
    query = {"project": project.name} | ({"run": run.job.id} if run and page != "pages/label.py" else {})
    st.page_link(page, label=label, icon=icon, query_params=query, width="content")


for card in cards:
    show_project(*card)
if not projects:
    st.markdown(
        "Slotlab reads short texts of fixed length, such as the CAPTCHA of a portal you are allowed to automate. "
        "Import some images, label them here, train a recogniser, and see where it is wrong."
    )

if imports:
    with st.expander("Last import", expanded=imports[0].state != "finished" or "import shown" in st.session_state):
        show_import(imports[0])
with st.expander("Import images", icon=":material/upload:", expanded=not projects):
    import_form(projects)
