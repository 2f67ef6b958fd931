"""Actions on many images of Samples: skip, tag, move to another source, export."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import streamlit as st

from core.data.bulk import labels_of_people, last_skip, new_request, skip_samples, undo_skips
from core.data.managing import move_samples
from core.data.reviewing import FLAG_WORDS
from core.data.selection import select_present, select_shown, too_many
from core.data.tagging import tag_samples, untag_samples
from core.words import plural
from db.records import PEOPLE, Project, Sample, Source
from db.samples import Mark, count_samples, mark_of, mark_samples
from db.tags import find_tag, list_tags
from pages.components import address, layout, state
from pages.components.exports import FORMS, TITLES, make, offer
from pages.components.samples.filters import Filters, place_of

SCOPES = {"ticked": "Ticked rows", "page": "This page", "all": "All matches"}
NONE_SELECTED = "Tick rows to skip, tag or export them."
REASONS: dict[str, str | None] = {"for later": None} | {word: flag for flag, word in FLAG_WORDS.items()}


@dataclass(frozen=True)
class Selection:
    """The images that an action is about."""

    project: Project
    operator: str
    filters: Filters
    """Filters of the list."""
    samples: Sequence[Sample] | None
    """None means all that match the filters."""
    mark: Mark
    """Stands for the images that matched when the page was drawn."""

    @property
    def n(self) -> int:
        return self.mark[0]

    def ids(self) -> list[int]:
        """Return the ids of the images. Raises OptionError if others match now, or some are gone."""
        with layout.database() as db:
            if self.samples is not None:
                return select_present(db, self.project, [sample.id for sample in self.samples])
            return select_shown(db, self.project, self.mark, self.filters.where)

    def labels_of_people(self) -> int:
        """Return how many labels of people a skip would take."""
        if self.samples is not None:
            return labels_of_people(self.samples)
        if self.filters.where.get("disputed"):
            return 0
        kinds = PEOPLE if self.filters.where["kind"] is None else {self.filters.where["kind"]}.intersection(PEOPLE)
        with layout.errors(), layout.database() as db:
            return sum(
                count_samples(db, self.project.id, **{**self.filters.where, "kind": kind, "disputed": False})
                for kind in kinds
            )


def show_actions(
    project: Project,
    operator: str,
    filters: Filters,
    page: Sequence[Sample],
    ticked: Sequence[int],
    sources: Mapping[str, Source],
) -> None:
    """Draw the choice between the ticked rows, the page and all matches, and the actions on the chosen images.

    Without an image there are no actions: drawing them disabled took 50 to 75 ms of opening the page.
    """
    with st.container(horizontal=True, vertical_alignment="center"):
        scope = st.segmented_control(
            "Images of the actions", list(SCOPES), format_func=SCOPES.__getitem__, default="ticked", required=True,
            label_visibility="collapsed", key=state.scope_box(filters.choice),
        )  # fmt: skip
        chosen: Sequence[Sample] | None = {"ticked": [page[row] for row in ticked], "page": page}.get(scope)
        if chosen is None:
            with layout.errors(), layout.database() as db:
                mark = mark_samples(db, project.id, **filters.where)
        else:
            mark = mark_of([sample.id for sample in chosen])
        selection = Selection(project, operator, filters, chosen, mark)
        if selection.n:
            _skip(selection)
            _tag(selection)
            if len(sources) > 1:
                _move(selection, sources)
            _export(selection)
    # On a line of its own: the buttons of the table cover what is right above it.
    st.caption(f"{plural(selection.n, 'image')} selected." if selection.n else NONE_SELECTED)


def show_done(project: Project, operator: str, place: str) -> None:
    """Show why the last action was refused, or what it did as long as the list stays. Offer to undo the last skip.

    Call it before the list, which may be empty.
    """
    layout.show_refusal("bulk")
    list_of, sentence = st.session_state.get(state.BULK_DONE, ("", ""))
    if list_of != place:
        st.session_state.pop(state.BULK_DONE, None)
        sentence = ""
    with layout.errors(), layout.database() as db:
        request, n = last_skip(db, project, operator)
    with st.container(horizontal=True, vertical_alignment="center"):
        if sentence:
            st.success(layout.plain(sentence), icon=":material/check:")
        if n:
            st.button(
                f"Undo skip of {plural(n, 'image')}", icon=":material/undo:",
                type="secondary" if sentence else "tertiary", help="Your last skip of many images in this project.",
                on_click=_undo_skip, args=(project, operator, request),
            )  # fmt: skip


def _do(selection: Selection, act: Callable[[], str], *, changes_list: bool = False) -> None:
    """Act in a callback, and keep the sentence that says what was done."""
    st.session_state.pop(state.BULK_DONE, None)
    with layout.refuses("bulk"):
        sentence = act()
        st.session_state[state.BULK_DONE] = (place_of(selection.project), sentence)
        if changes_list:  # the next images must be chosen: a second click would take them too
            st.session_state[state.scope_box(selection.filters.choice)] = "ticked"


# Skip


def _skip(selection: Selection) -> None:
    with st.popover("Skip", icon=":material/block:", key=f"skip {selection.mark}"):
        if _are_too_many(selection):
            return
        reason = st.selectbox("Reason", list(REASONS), key=state.BULK_REASON)
        people = selection.labels_of_people()
        typed = str(people)
        if people:
            st.markdown(f"**{people:,}** of them have a label of people, which leaves training. The history keeps it.")
            typed = st.text_input(
                f"Type {people} to confirm", key=f"skip {people} labels", live="300ms", autocomplete="off"
            )
        st.button(
            f"Skip {plural(selection.n, 'image')}", type="primary", on_click=_skip_all,
            args=(selection, REASONS[reason], people, new_request()),
            disabled=typed.strip().replace(",", "") != str(people),
        )  # fmt: skip


def _skip_all(selection: Selection, flag: str | None, confirmed: int, request: str) -> None:
    """Callback: skip the images, each by an event."""

    def act() -> str:
        with layout.database() as db:
            return skip_samples(
                db, selection.project, selection.operator, selection.ids(), flag, request=request, confirmed=confirmed
            ).sentence

    st.session_state.pop(f"skip {confirmed} labels", None)
    _do(selection, act, changes_list=True)


def _undo_skip(project: Project, operator: str, request: str) -> None:
    """Callback: undo the skip of many images."""
    st.session_state.pop(state.BULK_DONE, None)
    with layout.refuses("bulk"), layout.database() as db:
        undone, changed = undo_skips(db, project, operator, request)
        sentence = f"Undid the skip of {plural(undone, 'image')}."
        if changed:
            sentence += f" Changed since, so left: {changed:,}."
        st.session_state[state.BULK_DONE] = (place_of(project), sentence)


# Tag


def _tag(selection: Selection) -> None:
    with st.popover("Tag", icon=":material/sell:"):
        with layout.errors(), layout.database() as db:
            tags = [tag.name for tag in list_tags(db, selection.project.id)]
        name = st.selectbox(
            "Tag", tags, index=None, key=state.BULK_TAG, placeholder="Choose or type a tag", accept_new_options=True
        )
        for title, act in (("Tag", partial(tag_samples, operator=selection.operator)), ("Untag", untag_samples)):
            st.button(
                f"{title} {plural(selection.n, 'image')}", type="primary" if title == "Tag" else "secondary",
                on_click=_tag_all, args=(selection, name or "", act), disabled=not name,
            )  # fmt: skip


def _tag_all(selection: Selection, name: str, act: Callable[..., Any]) -> None:
    """Callback: tag or untag the images."""

    def tagged() -> str:
        with layout.database() as db:
            sentence = str(act(db, selection.project, name, selection.ids()).sentence)
            if (asked := address.get(state.TAG)) and find_tag(db, selection.project.id, asked) is None:
                address.go(clears=(state.TAG, state.SAMPLES_PAGE))  # its last image was untagged
        return sentence

    _do(selection, tagged)


# Move


def _move(selection: Selection, sources: Mapping[str, Source]) -> None:
    with st.popover("Move", icon=":material/drive_file_move:", key=f"move {selection.mark}"):
        if _are_too_many(selection):
            return
        name = st.selectbox(
            "To source", list(sources), index=None, key=state.BULK_SOURCE, placeholder="Choose a source"
        )
        if name:
            target = sources[name]
            st.markdown(
                f"From then on: owner **{layout.plain(target.owner)}**, authorization "
                f"**{layout.plain(target.authorization)}**. Labels, history and split stay."
            )
        st.button(
            f"Move {plural(selection.n, 'image')}", type="primary", disabled=not name, on_click=_move_all,
            args=(selection, sources[name] if name else None),
        )  # fmt: skip


def _move_all(selection: Selection, target: Source) -> None:
    """Callback: move the images to another source."""

    def act() -> str:
        ids = selection.ids()
        with layout.database() as db:
            moved = move_samples(db, layout.home(), selection.project, ids, target)
        there = f" {len(ids) - moved:,} were there already." if moved < len(ids) else ""
        return f"Moved {plural(moved, 'image')} to {target.name}.{there}"

    _do(selection, act, changes_list=True)


def _are_too_many(selection: Selection) -> bool:
    """Say if the selection is too large for an action that changes each image."""
    if sentence := too_many(selection.n):
        st.markdown(sentence)
    return bool(sentence)


# Export


def _export(selection: Selection) -> None:
    with st.popover("Export", icon=":material/download:"):
        form = st.selectbox("Format", FORMS, format_func=TITLES.__getitem__, key=state.BULK_FORM)
        what = (form, selection.filters.place, selection.mark)
        st.button("Prepare export", on_click=_prepare, args=(selection, form, what))
        st.caption("Each image comes with the owner and the authorization of its source.")
    made = st.session_state.get(state.BULK_EXPORTED)
    if made and made[0] == what:  # beside the popover, which closes when the sentence of the result appears above it
        offer(form, made[1])


def _prepare(selection: Selection, form: str, what: object) -> None:
    """Callback: make the file and keep it for the download button."""

    def act() -> str:
        made = make(selection.project, form, selection.ids())
        st.session_state[state.BULK_EXPORTED] = (what, made)
        left = f" {selection.n - made[0]:,} without a label are not in it." if made[0] < selection.n else ""
        return f"Exported {plural(made[0], 'image')} as {TITLES[form]}. The download is beside Export.{left}"

    st.session_state.pop(state.BULK_EXPORTED, None)
    _do(selection, act)
