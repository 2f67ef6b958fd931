"""Models: the bundles of a project, which of them is in use, and what another one would change."""

from itertools import takewhile

import streamlit as st

from core.runs.bundle_comparison import compare_bundles
from core.runs.bundles import Bundle, delete_bundle, gone, list_bundles, zip_bytes
from core.runs.promotions import default_run, former, promote
from db.promotions import list_promotions
from db.runs import list_runs
from pages.components import layout
from pages.components.models.drift import show_alarms, show_drift
from pages.components.models.sections import age, named, show_comparison, show_history, show_table

page = layout.open_page("models")
project, home = page.project, layout.home()


def use(bundle: Bundle) -> None:
    """Callback: use a bundle from now on."""
    with layout.refuses(), layout.database() as db:
        promote(db, bundle, operator=page.operator)


def delete(bundle: Bundle) -> None:
    """Callback: delete the files of a bundle."""
    with layout.refuses(), layout.database() as db:
        delete_bundle(db, bundle)


def show_actions(bundle: Bundle, used: str | None) -> None:
    """Draw what can be done with the selected bundle."""
    with st.container(horizontal=True, vertical_alignment="center"):
        if bundle.job.id != used:
            st.button(
                "Use this bundle", type="primary", icon=":material/check_circle:", key=f"use {bundle.job.id}",
                on_click=use, args=(bundle,),
            )  # fmt: skip
        st.download_button(
            "Download zip", lambda: zip_bytes(bundle.directory), file_name=f"{bundle.job.id}.zip",
            mime="application/zip", icon=":material/download:", on_click="ignore", key=f"download {bundle.job.id}",
        )  # fmt: skip
        st.page_link(
            "pages/evaluate.py", icon=":material/grid_on:",
            label=f"Errors of {layout.plain(named(bundle.run_id, names))}",
            query_params={"project": project.name, "run": bundle.run_id}, width="content",
        )  # fmt: skip
        if bundle.job.id != used:
            with st.popover("Delete", icon=":material/delete:"):
                st.markdown("The files are deleted. The run stays, and can make the bundle again.")
                st.button("Delete bundle", key=f"delete {bundle.job.id}", on_click=delete, args=(bundle,))
    if not bundle.is_current:
        st.warning("The checkpoint, the views or the threshold of the run have changed since. Make a new bundle.")


def show_compare(bundles: list[Bundle], selected: Bundle, used: str | None) -> None:
    """Draw the comparison of the selected bundle with another one, on demand."""
    others = {bundle.job.id: bundle for bundle in bundles if bundle.job.id != selected.job.id}
    if not others:
        return
    st.subheader("Compare", anchor=False)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        start = list(others).index(used) if used in others else 0
        other = st.selectbox("With", list(others), start, key=f"other of {selected.job.id}", width=220)
        asked = st.button("Compare on the newest images", icon=":material/compare_arrows:", key="compare bundles")
    if asked:
        with layout.errors(), layout.database() as db, st.spinner("Reading the images with both"):
            found = compare_bundles(db, project, others[other], selected)
        if not found.pairs:
            st.info("There is no labeled validation image and no unlabeled training image to compare on.")
            return
        show_comparison(found, other, selected.job.id)


with layout.errors(), layout.database() as db:
    layout.update_jobs(db)
    bundles, history = list_bundles(db, home, project), list_promotions(db, project.id)
    before = former(db, home, project)
    names = {run.job.id: run.name for run in list_runs(db, project.id)}
layout.show_refusal()
used = history[0].job_id if history else None
chosen = [*takewhile(lambda each: each.job_id == used, history)][-1:]
st.caption(
    "A bundle is a run as a folder that scripts read with. Mark the one that your automation uses. "
    "Pages then show its run first. Copy its files yourself."
)
if used and used not in {bundle.job.id for bundle in bundles}:
    st.error(gone(used), icon=":material/error:")
if not bundles:
    runs = layout.runs_with_a_model(project)
    if not used:
        st.info("No bundles yet. Make one on the Bundle tab of Evaluate.", icon=":material/inventory_2:")
    with layout.errors(), layout.database() as db:
        shown = default_run(db, home, project, runs)
    if shown:
        st.page_link(
            "pages/evaluate.py", label=f"Make a bundle of {shown[0]}", icon=":material/grid_on:",
            query_params={"project": project.name, "run": shown[0], "section": "bundle"},
        )  # fmt: skip
    if used:
        show_history(history)
    layout.stop()
with st.container(border=True, horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
    if used:
        operator = layout.plain(chosen[0].operator)
        st.markdown(f"**{layout.plain(used)}** has been in use {age(chosen[0].at)}, chosen by {operator}.")
        if before:
            st.button(f"Roll back to {before.job.id}", icon=":material/undo:", key="roll back", on_click=use,
                      args=(before,))  # fmt: skip
    else:
        st.markdown("No bundle is in use yet.")
show_alarms(project, page.operator)
with layout.errors():
    selected = show_table(bundles, used, names, key=f"bundles {project.id} {len(bundles)}")
show_actions(selected, used)
show_compare(bundles, selected, used)
if used:
    show_drift(project, page.operator)
    show_history(history)
