"""What there is, what to do next, and the way in for images."""

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.data.importing import watched_folder
from core.evaluation.percent import share
from core.jobs import control
from db.jobs import active_jobs, list_jobs
from db.projects import list_projects
from db.records import ACTIVE, Project, Run
from db.runs import list_runs
from db.samples import counts
from pages.components import layout
from pages.components.home.importing import import_form, show_import, show_watch

layout.enter("home")

projects, cards, imports, watches = [], [], [], {}
if layout.home().db.exists():
    with layout.errors(), layout.database() as db:
        control.reconcile(db, layout.home())
        projects = list_projects(db)
        watches = {
            job.id: (job, folder)
            for job in active_jobs(db)
            if job.kind == "import" and (folder := watched_folder(layout.home(), job))
        }
        imports = [job for job in list_jobs(db, kind="import", limit=len(watches) + 1) if job.id not in watches]
        for project in projects:
            runs = list_runs(db, project.id)[:1]
            cards.append((project, runs[0] if runs else None, counts(db, project.id)))


def show_project(project: Project, run: Run | None, count: dict[tuple[str, str], int]) -> None:
    """How far the labels are, how good the newest run is, and the next sensible steps."""

    def total(*parts: str) -> int:
        return sum(n for key, n in count.items() if set(parts) <= set(key))

    with st.container(border=True):
        with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
            st.subheader(layout.plain(project.name), anchor=False)
            with st.container(horizontal=True, width="content"):
                link_to_next_steps(project, run, total("labeled"), total("unlabeled"))
        images, labels, newest = st.columns([2, 3, 3])
        splits = [f"{split} {total(split, 'labeled'):,}" for split in ("train", "val", "test")]
        spec = f"{project.length} of {layout.plain(project.charset)}"
        show_number(images, "Images", f"{total():,}", spec)
        of = f"{total('labeled'):,} of {total('labeled') + total('unlabeled'):,}"
        show_number(labels, "Labeled", of, " · ".join([*splits, f"skipped {total('skipped'):,}"]))
        if run is None:
            show_number(newest, "Newest run", "none yet", "")
        elif run.val_correct is None:
            show_number(newest, "Newest run", run.job.state, layout.plain(f"{run.job.id} {run.job.reason or ''}"))
        else:
            note = f"{share(run.val_correct, run.val_n)} · {run.job.id}"
            show_number(newest, "Newest run, exact on val", f"{run.val_correct:,} of {run.val_n:,}", note)


def show_number(place: DeltaGenerator, title: str, value: str, note: str) -> None:
    with place.container(gap=None):
        st.metric(title, value)
        st.caption(note)


def link_to_next_steps(project: Project, run: Run | None, labeled: int, unlabeled: int) -> None:
    steps = []
    if run is not None and run.job.state in ACTIVE:
        steps.append(("pages/train.py", "Watch the run", ":material/show_chart:"))
    elif run is not None and run.val_correct is not None:
        steps.append(("pages/evaluate.py", "See where it is wrong", ":material/grid_on:"))
    elif labeled and not unlabeled:
        steps.append(("pages/train.py", "Train on them", ":material/play_arrow:"))
    if unlabeled:
        steps.append(("pages/label.py", f"Label {unlabeled:,}", ":material/keyboard:"))
    for page, label, icon in steps:
        query = {"project": project.name} | ({"run": run.job.id} if run and "label" not in page else {})
        st.page_link(page, label=label, icon=icon, query_params=query, width="content")


for card in cards:
    show_project(*card)
if not projects:
    st.markdown(
        "Slotlab reads short texts of fixed length, such as the CAPTCHA of a portal you are allowed to automate. "
        "Import some images, label them here, train a recognizer, and see where it is wrong."
    )

for job, folder in watches.values():
    with st.expander("Watching a folder", icon=":material/visibility:", expanded=True, key=f"watch {job.id}"):
        show_watch(job, folder)
if imports:
    with st.expander("Last import", icon=":material/receipt_long:", expanded=layout.is_recent(imports[0])):
        show_import(imports[0])
with st.expander("Import images", icon=":material/upload:", expanded=not projects):
    import_form(projects)
