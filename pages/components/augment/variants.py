"""A training image beside random variants of it, as a run would draw them."""

import random

import streamlit as st

from core.images.augment_settings import Settings
from core.images.pixels import Pixels, encode_png
from db.records import Project, Sample
from db.samples import count_samples, select_samples
from pages.components import layout, state
from pages.components.augment.network_input import Network, framed_images, network


def pick_another() -> None:
    """Draw another training image; a callback."""
    st.session_state[state.PICK] = st.session_state.get(state.PICK, 0) + 1


def keep(sha256: str) -> None:
    """Stay with an image; a callback. The hash finds it again, whatever is imported meanwhile."""
    st.session_state[state.SEARCH] = sha256


def pick_sample(project: Project, text: str) -> Sample | None:
    """Return one of the training images that match; where there is none, say so."""
    # Training images only: looking is the first step of choosing, and val and test are to stay unseen by it.
    with layout.database() as db:
        matches = count_samples(db, project.id, split="train", text=text)
        if not matches:
            st.info("No training image matches." if text else "This project has no training images yet.")
            return None
        place = random.Random(st.session_state.get(state.PICK, 0)).randrange(matches)
        return select_samples(db, project.id, split="train", text=text, limit=1, offset=place)[0]


def show_variants(project: Project, sample: Sample, compared: dict[str, Settings], n: int, seed: int) -> None:
    """Draw the original, and variants under each of the compared settings; the same number is the same draw."""
    with layout.database() as db:
        seen = network(layout.home(), db, project)
        framed = framed_images(db, seen.frame, [sample])[0]
    with st.spinner("Loading the transforms", show_time=False):
        from core.images.augmenter import variants  # a second at the first time; nothing else on the page needs it

    name = sample.label or sample.name
    columns = st.columns(len(compared))
    for letter, column, (title, settings) in zip("AB", columns, compared.items(), strict=False):
        with column:
            if len(compared) > 1:
                st.markdown(f"**{letter}** · {layout.plain(title)}")
            with st.grid("auto", min_column_width=150, gap="xsmall"):
                _show(seen, framed, "original", f"{name} as the model sees it, unchanged")
                for number, variant in enumerate(variants(framed, settings, n, seed), 1):
                    _show(seen, variant, str(number), f"{name}, variant {number}")
    height, width = seen.frame.size
    st.caption(
        f"{layout.plain(name)} at {width} x {height} pixels, {seen.origin}. A run draws new variants each epoch."
    )
    st.caption(seen.in_words)


def _show(seen: Network, drawn: Pixels, caption: str, alt: str) -> None:
    """Draw an image, and below it what the network gets, where that is not the same."""
    alt += ", and below it normalized" if seen.ink else ""
    st.image(encode_png(seen.pair(drawn)), caption=caption, width="stretch", alt=alt)
