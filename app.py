"""The router: `streamlit run app.py`. What every page shares is in pages/components/layout.py."""

import streamlit as st

from pages.components import layout

st.set_page_config(page_icon=":material/pin:", layout="wide")
page = st.navigation(
    {
        "": [st.Page("pages/home.py", title="Home", icon=":material/home:", default=True)],
        "Data": [
            st.Page("pages/label.py", title="Label", icon=":material/keyboard:"),
            st.Page("pages/samples.py", title="Samples", icon=":material/table_rows:"),
        ],
        "Model": [
            st.Page("pages/augment.py", title="Augment", icon=":material/tune:"),
            st.Page("pages/train.py", title="Train", icon=":material/show_chart:"),
            st.Page("pages/evaluate.py", title="Evaluate", icon=":material/grid_on:"),
            st.Page("pages/predict.py", title="Predict", icon=":material/image_search:"),
        ],
    }
)
with layout.frame():
    page.run()
