"""Guide: the documentation of every page, from files beside the app."""

import streamlit as st

from pages.components import address, guide, layout

layout.enter("guide")
topics = guide.topics()
keywords = address.widget("of", list(topics), guide.OVERVIEW, refusal="There is no guide {asked!r}.")
name = st.selectbox("Topic", list(topics), format_func=topics.__getitem__, width=240, **keywords)
for block in guide.blocks(name):
    if isinstance(block, str):
        st.markdown(block)
    elif block.light.exists():
        st.image(block.dark if st.context.theme.type == "dark" and block.dark.exists() else block.light, alt=block.text)
