"""Tags on pages: the box that filters images by one, on Samples and Review, and the words for a tag on an image."""

from collections.abc import Collection

import streamlit as st

from db.records import GivenTag, Project, Tag
from db.tags import find_tag, list_tags
from pages.components import address, layout, state


def tag_filter(project: Project, clears: Collection[str] = ()) -> Tag | None:
    """Draw the box if the project has tags. Return the chosen tag. `clears`: names that another tag removes."""
    asked = address.get(state.TAG)
    with layout.errors(), layout.database() as db:
        tags = {tag.name: tag for tag in list_tags(db, project.id)}
        named = find_tag(db, project.id, asked) if asked else None
    if named:  # the address may have it in another case
        address.complete(state.TAG, named.name)
    if not tags and not asked:
        return None
    chosen = st.selectbox(
        "Tag", list(tags), index=None, width=130, placeholder="All tags",
        **address.widget(state.TAG, list(tags), None, clears=clears),
    )  # fmt: skip
    return tags[chosen] if chosen else None


def tag_words(tag: GivenTag) -> str:
    """Return a tag with its operator and day, if they are known."""
    return f"{tag.name} ({tag.operator}, {tag.at[:10]})" if tag.at else tag.name
