from pages.components import layout

layout.enter("home")
