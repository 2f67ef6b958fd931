"""Home: projects, next steps, and the import of images."""

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.data.importing import watched_folder
from core.data.kinds import Counts, breakdown, labels_by_kind
from core.data.proposals import rule_of
from core.evaluation.percent import share
from core.evaluation.reference import score_name
from core.jobs import control
from core.runs.drift import newest_drift, sentence
from core.words import plural
from db.jobs import active_jobs, list_jobs
from db.projects import list_projects
from db.records import ACTIVE, Project, Run
from db.samples import counts
from pages.components import address, layout, state
from pages.components.home.backup import has_problem, show_backup
from pages.components.home.exporting import show_export_form
from pages.components.home.importing import project_of, show_import, show_import_form, show_watch
from pages.components.home.managing import show_description, show_managing
from pages.components.layout import ARCHIVED
from pages.components.next_steps import NextStep, next_steps, shown_run

layout.enter("home")

everything, cards, imports, watches = [], [], [], {}
shows_archived = address.get(ARCHIVED) == "true"
if layout.home().db.exists():
    with layout.errors(), layout.database() as db:
        layout.update_jobs(db)
        everything = list_projects(db, archived=None)
        watches = {
            job.id: (job, folder)
            for job in active_jobs(db)
            if job.kind == "import" and (folder := watched_folder(layout.home(), job))
        }
        imports = [job for job in list_jobs(db, kind="import", limit=len(watches) + 1) if job.id not in watches]
        for project in everything:
            if project.archived_at and not shows_archived:
                continue
            numbers = counts(db, project.id), labels_by_kind(db, project), rule_of(db, project).usable
            drift = newest_drift(db, project)
            alarms = [sentence(source, change) for source, change in drift.alarms] if drift else []
            cards.append((project, *shown_run(db, project), *numbers, alarms))
projects = [project for project in everything if not project.archived_at]
archived = len(everything) - len(projects)


def show_project(
    project: Project,
    run: Run | None,
    why: str,
    trained: int,
    count: dict[tuple[str, str], int],
    kinds: Counts,
    usable: bool,
    alarms: list[str],
) -> None:
    """Draw a project's card: labeling progress, a run's result, and links to the next steps.

    `why` names the run. `trained`: most training images that a run had. `usable`: the general readers have read the
    project and can be used. `alarms`: drift of the bundle in use.
    """

    def total(*keys: str) -> int:
        return sum(n for key, n in count.items() if set(keys) <= set(key))

    with st.container(border=True):
        with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
            st.subheader(layout.plain(project.name + " (archived)" * bool(project.archived_at)), anchor=False)
            with st.container(horizontal=True, vertical_alignment="center", width="content"):
                link_to_next_steps(next_steps(project, run, kinds, count, trained=trained, usable=usable))
        show_description(project)
        for alarm in alarms:
            # A link is one line, and a narrow screen would cut the sentence.
            st.markdown(f":orange[:material/trending_down: {layout.plain(alarm)}]")
            st.page_link(
                "pages/models.py", label="See the change", icon=":material/compare:",
                query_params={"project": project.name}, width="content",
            )  # fmt: skip
        images, labels, result = st.columns([2, 3, 3])
        splits = [f"{split} {total(split, 'labeled'):,}" for split in ("train", "val", "test")]
        spec = f"{plural(project.length, 'character')}, {layout.plain(short(project.charset))}"
        show_number(images, "Images", f"{total():,}", spec)
        progress = f"{total('labeled'):,} of {total():,}"
        notes = [" · ".join([*splits, f"skipped {total('skipped'):,}"]), breakdown(kinds)]
        show_number(labels, "Labeled", progress, "  \n".join(filter(None, notes)))
        if run is None:
            show_number(result, why, "None yet", "")
        elif run.score is None:
            show_number(
                result, why, run.job.state.capitalize(), layout.plain_sentence(f"{run.job.id} {run.job.reason or ''}")
            )
        else:
            score, by = run.score, f", evaluation {run.score.evaluation}" * bool(run.score.evaluation)
            note = f"{share(score.correct, score.n)} · {run.job.id}{by}"
            title = f"{why}, {score_name(score.reference)} on val"
            show_number(result, title, f"{score.correct:,} of {score.n:,}", note)


def short(charset: str) -> str:
    """Abbreviate runs of three or more consecutive characters, such as "0-9 a-f"."""
    runs: list[str] = []
    for char in charset:
        if runs and ord(char) == ord(runs[-1][-1]) + 1:
            runs[-1] += char
        else:
            runs.append(char)
    return " ".join(run if len(run) < 3 else f"{run[0]}-{run[-1]}" for run in runs)


def show_number(place: DeltaGenerator, title: str, value: str, note: str) -> None:
    with place.container(gap=None):
        st.metric(title, value)
        st.caption(note)


def link_to_next_steps(steps: list[NextStep]) -> None:
    """Draw the next step in a frame, and other possible ones after it."""
    for place, (page, label, icon, query) in enumerate(steps):
        with st.container(border=place == 0, width="content"):
            st.page_link(f"pages/{page}.py", label=label, icon=icon, query_params=query, width="content")


def follow(states: dict[str, str]) -> None:
    """Draw the page again when the state of an active run of a card has changed."""
    if {run: control.observe(layout.home(), run).state for run in states} != states:
        st.rerun()


since = min((project.created_at for project in projects), default="")
overdue = bool(projects) and has_problem(since)
if overdue:  # first, because labels can be lost
    show_backup(since)
for card in cards:
    show_project(*card)
active = [run.job.id for _, run, *_ in cards if run is not None and run.job.state in ACTIVE]
if active:
    states = {run: control.observe(layout.home(), run).state for run in active}
    st.fragment(follow, run_every="5s")(states)
if archived:
    if not projects:
        st.info(layout.all_archived(archived), icon=":material/archive:")
    st.toggle(f"Show {plural(archived, 'archived project')}", **address.widget(ARCHIVED, None, default=False))
if not everything:
    st.markdown(
        "Slotlab reads short texts of fixed length, such as the CAPTCHAs of a portal you are allowed to automate. "
        "Import images, let general readers or people label them, train a model and check its errors."
    )

for job, folder in watches.values():
    with st.expander("Watched folder", icon=":material/visibility:", expanded=True, key=f"watch {job.id}"):
        show_watch(job, folder)
if imports:
    into = layout.plain(project_of(imports[0]))
    with st.expander(
        f"Last import, into {into}", icon=":material/receipt_long:", expanded=layout.is_recent(imports[0])
    ):
        show_import(imports[0])
images_of = {project.name: sum(count.values()) for project, _, _, _, count, *_ in cards}
is_empty = images_of.get(address.get(state.PROJECT) or "") == 0
show_import_form(projects, is_open=not everything or is_empty)
if projects:
    show_export_form(projects)
if layout.home().db.exists():
    show_managing()
if projects and not overdue:
    show_backup(since)
