"""A training image beside random variants of it, drawn as a run draws them."""

import random

import streamlit as st

from core.images.augment_settings import Settings
from core.images.pixels import Pixels, encode_png
from db.records import Project, Sample
from db.samples import count_samples, select_samples
from pages.components import address, layout, state
from pages.components.augment.network_input import Network, framed_images, network


def pick_another() -> None:
    """Callback: choose another training image."""
    st.session_state[state.PICK] = st.session_state.get(state.PICK, 0) + 1


def pin(sha256: str) -> None:
    """Callback: keep showing this image. Its hash still finds it after further imports."""
    address.go(search=sha256)


def pick_sample(project: Project, text: str) -> Sample | None:
    """Return one of the matching training images, or show that there are none."""
    # Training images only, because nothing may be tuned by looking at val or test images.
    with layout.database() as db:
        matches = count_samples(db, project.id, split="train", text=text)
        if not matches:
            st.info("No training image matches the search." if text else "This project has no training images yet.")
            return None
        place = random.Random(st.session_state.get(state.PICK, 0)).randrange(matches)
        return select_samples(db, project.id, split="train", text=text, limit=1, offset=place)[0]


def show_variants(project: Project, sample: Sample, compared: dict[str, Settings], n: int, seed: int) -> None:
    """Draw the original and its variants under each of the settings. Equal numbers use equal random draws."""
    with layout.database() as db:
        net = network(layout.home(), db, project)
        framed = framed_images(db, net.frame, [sample])[0]
    with st.spinner("Loading the transforms", show_time=False):
        from core.images.augmenter import variants  # takes a second; only this function needs it

    name = sample.label or sample.name
    columns = st.columns(len(compared))
    for letter, column, (title, settings) in zip("AB", columns, compared.items(), strict=False):
        with column:
            if len(compared) > 1:
                st.markdown(f"**{letter}** · {layout.plain(title)}")
            with st.grid("auto", min_column_width=150, gap="xsmall"):
                _show(net, framed, "original", f"{name} as the model sees it, not augmented")
                for number, variant in enumerate(variants(framed, settings, n, seed), 1):
                    _show(net, variant, str(number), f"{name}, variant {number}")
    height, width = net.frame.size
    st.caption(f"{layout.plain(name)} at {width} x {height} pixels, {net.origin}. A run draws new variants each epoch.")
    st.caption(net.in_words)


def _show(net: Network, drawn: Pixels, caption: str, alt: str) -> None:
    """Draw an image, and below it the network's input if that differs."""
    alt += ", and below it normalized" if net.ink else ""
    st.image(encode_png(net.pair(drawn)), caption=caption, width="stretch", alt=alt)
