"""The run queue on the Train page."""

import streamlit as st

from core.jobs import control
from pages.components import layout


def show_queue(project_name: str) -> None:
    """Draw the run queue with buttons to reorder it, or nothing if it is empty. All projects share the devices."""
    if control.queue(layout.home()):
        st.fragment(_show_queue, run_every="2s")(project_name)


def _show_queue(project_name: str) -> None:
    queue = control.queue(layout.home())
    if not queue:
        st.rerun()
    st.subheader("Run queue", anchor=False)
    layout.show_refusal("queue")
    for device, ids in queue.items():
        st.caption(f"{len(ids)} waiting for the {device.upper()}, next one first.")
        with st.container(border=True, gap="xsmall"):
            for place, run_id in enumerate(ids):
                _show_place(project_name, ids, place, run_id)


def _show_place(project_name: str, ids: list[str], place: int, run_id: str) -> None:
    project = control.spec(layout.home(), run_id).get("project", {}).get("name", "")
    with st.container(horizontal=True, vertical_alignment="center", key=f"turn of {run_id}"):
        of = "" if project == project_name else f" of {layout.plain(project)}"
        st.markdown(f"{place + 1}\\. {layout.plain(run_id)}{of}")
        # Each button names a neighbor on screen, so that a double click moves the run once.
        after = ids[place + 2] if place + 2 < len(ids) else None
        moves = {
            "First": (":material/vertical_align_top:", ids[0], place > 0),
            "Up": (":material/arrow_upward:", ids[max(place - 1, 0)], place > 0),
            "Down": (":material/arrow_downward:", after, place + 1 < len(ids)),
        }
        for name, (icon, before, possible) in moves.items():
            st.button(
                name, icon=icon, key=f"{name} {run_id}", on_click=_move, args=(run_id, before), disabled=not possible
            )
        st.button("Cancel", icon=":material/stop:", key=f"unqueue {run_id}", on_click=_cancel, args=(run_id,))


def _move(run_id: str, before: str | None) -> None:
    with layout.refuses("queue"):
        control.move(layout.home(), run_id, before=before)


def _cancel(run_id: str) -> None:
    with layout.refuses("queue"), layout.database() as db:
        control.cancel(db, layout.home(), run_id)
