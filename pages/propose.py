"""Propose: let general readers read the images that nobody labeled, accept what they agree on, prove it blind."""

import json
from typing import Any

import streamlit as st

from core.data.proposals import Proof, accept_agreed, agreed_texts, has_readings_of, proof
from core.data.proposing import start_proposing
from core.data.suggestions import anchoring
from core.readers.builtin import NAME as BUILTIN
from core.readers.builtin import can_read, shown_name
from core.readers.readers import INSTALL, READERS, available
from core.words import plural
from db import jobs, proposals, queues, samples
from db.records import Job
from pages.components import layout, state
from pages.components.progress import show_progress
from pages.components.propose.agreement import show_agreement
from pages.components.propose.proof import show_proof
from pages.components.propose.rounds import show_rounds
from pages.components.removal import ask_removal, show_removed

ABOUT_BUILTIN = "The built-in reader learned from rendered text only. It reads digits and Latin letters."

page = layout.open_page("propose")


def read_images(readers: list[str], agree: int | None) -> None:
    """Callback: start the job."""
    with layout.refuses(), layout.database() as db:
        start_proposing(db, layout.home(), page.project, readers=readers, agree=agree, operator=page.operator)


def accept_readings() -> None:
    """Callback: turn agreed readings of train into labels."""
    with layout.refuses(), layout.database() as db:
        n = accept_agreed(db, page.project, page.operator)
        blind = agreed_texts(db, page.project, state="unlabeled")
    became = "reading became a label of a training image" if n == 1 else "readings became labels of training images"
    others = " The other agreed ones are in validation and test, and stay blind." if blind else ""
    st.session_state[state.ACCEPTED] = f"{n:,} {became}.{others}"


def show_reading(images: int) -> None:
    """Draw the choice of readers and the button that lets them read `images` images.

    Without two general readers, their button is there, but disabled: the page says above how to install them.
    """
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if len(general) < 2:
            st.button(
                f"Read {plural(images, 'image')} with general readers", icon=":material/auto_stories:", disabled=True,
                help=f"They are not installed. Install them with `{INSTALL}`, then reload.",
            )  # fmt: skip
        if installed == [BUILTIN]:
            st.button(
                f"Read {plural(images, 'image')} with the built-in reader", type="primary",
                icon=":material/auto_stories:", on_click=read_images, args=(installed, None), help=ABOUT_BUILTIN,
            )  # fmt: skip
        if installed in ([], [BUILTIN]):
            return
        chosen = st.pills(
            "Readers", installed, selection_mode="multi", default=general or installed,
            key=f"readers of {page.project.id}", format_func=shown_name,
            help=ABOUT_BUILTIN,
        )  # fmt: skip
        is_alone = len(chosen) == 1 and BUILTIN not in chosen
        enough = len(chosen) > 2 and st.toggle("Two readers are enough", key=f"two readers of {page.project.id}")
        st.button(
            f"Read {plural(images, 'image')}", type="primary", icon=":material/auto_stories:",
            disabled=not chosen or is_alone, on_click=read_images, args=(list(chosen), 2 if enough else None),
            help="One general reader alone cannot agree with another. Choose two." if is_alone else None,
        )  # fmt: skip


def show_result(result: dict[str, Any], accepted: int, acceptable: int, unread: int, disagreements: int) -> None:
    """Draw the verdict on the readers and the next action."""
    if result.get("suggests"):
        st.info(layout.plain(result["verdict"]), icon=":material/lightbulb:")
    elif result["usable"]:
        st.success(layout.plain(result["verdict"]), icon=":material/check_circle:")
    else:
        st.warning(layout.plain(result["verdict"]), icon=":material/do_not_disturb_on:")
    if not result["usable"]:
        st.page_link(
            "pages/label.py", label="Label images", icon=":material/keyboard:",
            query_params={"project": page.project.name},
        )  # fmt: skip
    with st.container(horizontal=True, vertical_alignment="center"):
        if acceptable:
            st.button(
                f"Accept {plural(acceptable, 'reading')}", type="primary", icon=":material/done_all:",
                on_click=accept_readings,
                help="Agreed readings of training images become labels of kind readers. A label of a person replaces "
                "them at any time, and they can all be removed at once.",
            )  # fmt: skip
        if unread:
            names = [reader["name"] for reader in result["readers"]]
            gone = [name for name in names if name not in installed]
            st.button(
                f"Read {plural(unread, 'new image')}", icon=":material/auto_stories:", on_click=read_images,
                args=(names, result.get("agree") if len(names) > 1 else None), disabled=bool(gone),
                help=f"{' and '.join(gone)} must be installed: `{INSTALL}`" if gone else None,
            )  # fmt: skip
        for kind in ("readers", "verdict"):
            if counts.get(("train", kind)):
                ask_removal(page.project, kind)
    if accepted and not acceptable:
        query = {"project": page.project.name}
        with st.container(horizontal=True):
            if disagreements:
                st.page_link(
                    "pages/label.py", label=f"Label {plural(disagreements, 'disagreement')}",
                    icon=":material/keyboard:", query_params=query,
                )  # fmt: skip
            st.page_link("pages/train.py", label="Train a model", icon=":material/play_arrow:", query_params=query)


general = [name for name in READERS if available()[name]]
installed = [*general, *([BUILTIN] if can_read(page.spec) else [])]
with layout.errors(), layout.database() as db:
    layout.update_jobs(db)
    running = jobs.find_active(db, page.project.id, "propose")
    attempts = jobs.list_jobs(db, project_id=page.project.id, kind="propose")
    finished: Job | None = next((job for job in attempts if job.state == "finished"), None)
    readers = proposals.list_readers(db, page.project.id)
    counts = samples.label_counts(db, page.project.id)
    total = samples.count_samples(db, page.project.id)
    unlabeled = samples.count_samples(db, page.project.id, state="unlabeled")
    acceptable = len(agreed_texts(db, page.project, split="train", state="unlabeled"))
    disagreements = queues.count_ranked(db, page.project.id).get("disagree", 0)
    is_other = finished is not None and not has_readings_of(db, page.project, json.loads(finished.result or "{}"))
    unread = unlabeled
    if readers and not is_other:
        unread = max(proposals.count_unread(db, page.project.id, reader, labeled_train=False) for reader in readers)
    shown: Proof = proof(db, page.project)

layout.show_refusal()
if running:
    show_progress(running, "readings")
elif attempts and attempts[0].state in ("failed", "lost"):
    reason = attempts[0].reason or f"The reading is {attempts[0].state}."
    basis = f" The verdict below is from {finished.finished_at[:10]}." if finished and finished.finished_at else ""
    st.error(layout.plain(f"The last attempt failed: {reason}{basis}"), icon=":material/error:")
show_removed()
if state.ACCEPTED in st.session_state:
    st.success(st.session_state.pop(state.ACCEPTED))
if len(general) < 2 and not running:
    st.info(
        "Two general readers can read most portals without a label. They are not installed. Install them, then reload: "
        f"`{INSTALL}`",
        icon=":material/extension:",
    )
if not finished and not running:
    st.markdown(
        f"Readers read each image, and know that it has exactly {page.spec.length} of your characters. "
        "Where two general readers agree, they are almost always right. People then label only the rest."
    )
    if unlabeled:
        show_reading(unlabeled)
    elif total and not unlabeled:
        st.info(
            "No image is unlabeled. To find wrong labels with the readers, run `slotlab propose --labeled`.",
            icon=":material/inbox:",
        )
    elif not total:
        st.info("This project has no images yet.", icon=":material/inbox:")
        st.page_link("pages/home.py", label="Import images", icon=":material/upload:")
if finished:
    result = json.loads(finished.result or "{}")
    # The readings may be newer, or missing after an attempt with other readers that failed.
    names = " + ".join(sorted(f"{shown_name(reader['name'])} {reader['version']}" for reader in result["readers"]))
    day = (finished.finished_at or "")[:10]
    show_result(result, counts.get(("train", "readers"), 0), acceptable, 0 if running else unread, disagreements)
    if result["usable"]:
        show_proof(page.project, shown)
        show_rounds(page)
        with layout.errors(), layout.database() as db:
            seen = anchoring(db, page.project)
        if seen.shown:
            st.caption(layout.plain(seen.sentence))
    st.caption(
        layout.plain(
            f"Based on {plural(result['images'], 'image')}, read by {names} until {day}. Readings are never labels of "
            "val or test."
        )
    )
    if len(result["readers"]) > 1:
        show_agreement(result)
    if not running and unlabeled and len(installed) > 1:
        with st.expander("Read again with other readers", icon=":material/auto_stories:"):
            show_reading(unlabeled)
