from pages.components import layout

page = layout.open_page("samples")
