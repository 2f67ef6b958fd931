"""The app: `streamlit run app.py`.

The server imports this file for `app`. Each visitor's session runs it as a script, which is the router. See
pages/components/shell.py for the login and the sidebar.
"""

from pathlib import Path

import streamlit as st

ABOUT = "Slotlab labels images of short texts, trains a small model on them, and shows where it is wrong."
"""The menu needs an entry. Without any, Streamlit hides it and the choice between light and dark."""


def route() -> None:
    """Run the page at the visitor's address."""
    from pages.components.shell import around_page, navigate

    # Use files, because browsers would fetch a ":material/...:" icon from fonts.gstatic.com.
    components = Path(__file__).parent / "pages" / "components"
    st.set_page_config(page_icon=components / "icon.svg", layout="wide", menu_items={"About": ABOUT})
    st.logo(components / "logo.svg", icon_image=components / "icon.svg", size="large")
    pages = {
        "": [
            st.Page("pages/home.py", title="Home", icon=":material/home:", default=True),
            st.Page("pages/guide.py", title="Guide", icon=":material/menu_book:"),
        ],
        "Data": [
            st.Page("pages/propose.py", title="Propose", icon=":material/auto_stories:"),
            st.Page("pages/label.py", title="Label", icon=":material/keyboard:"),
            st.Page("pages/review.py", title="Review", icon=":material/fact_check:"),
            st.Page("pages/samples.py", title="Samples", icon=":material/table_rows:"),
        ],
        "Model": [
            st.Page("pages/augment.py", title="Augment", icon=":material/tune:"),
            st.Page("pages/train.py", title="Train", icon=":material/show_chart:"),
            st.Page("pages/evaluate.py", title="Evaluate", icon=":material/grid_on:"),
            st.Page("pages/compare.py", title="Compare", icon=":material/compare_arrows:"),
            st.Page("pages/models.py", title="Models", icon=":material/inventory_2:"),
            st.Page("pages/predict.py", title="Predict", icon=":material/image_search:"),
        ],
    }
    page, unknown = navigate(pages)
    with around_page(page.url_path, pages, unknown):
        page.run()


if __name__ == "__main__":
    route()
else:
    from streamlit.runtime.pages_manager import PagesManager

    from pages.components.serving import middleware

    # As st.navigation does. Else the first visitor of a server gets a dialog at an unknown page.
    PagesManager.uses_pages_directory = False
    app = st.App(__file__, middleware=middleware())
