"""The router: `streamlit run app.py`. See pages/components/shell.py for the login and the sidebar."""

from pathlib import Path

import streamlit as st

from pages.components.shell import around_page

# Use files, because browsers would fetch a ":material/...:" icon from fonts.gstatic.com.
COMPONENTS = Path(__file__).parent / "pages" / "components"
st.set_page_config(page_icon=COMPONENTS / "icon.svg", layout="wide")
st.logo(COMPONENTS / "logo.svg", icon_image=COMPONENTS / "icon.svg", size="large")
page = st.navigation(
    {
        "": [st.Page("pages/home.py", title="Home", icon=":material/home:", default=True)],
        "Data": [
            st.Page("pages/label.py", title="Label", icon=":material/keyboard:"),
            st.Page("pages/review.py", title="Review", icon=":material/fact_check:"),
            st.Page("pages/samples.py", title="Samples", icon=":material/table_rows:"),
        ],
        "Model": [
            st.Page("pages/augment.py", title="Augment", icon=":material/tune:"),
            st.Page("pages/train.py", title="Train", icon=":material/show_chart:"),
            st.Page("pages/evaluate.py", title="Evaluate", icon=":material/grid_on:"),
            st.Page("pages/compare.py", title="Compare", icon=":material/compare_arrows:"),
            st.Page("pages/predict.py", title="Predict", icon=":material/image_search:"),
        ],
    }
)
with around_page():
    page.run()
