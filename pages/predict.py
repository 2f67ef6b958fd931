"""Predict: the readings of a run, their confidence, a download, and every view of one image."""

import streamlit as st

from core.evaluation.views import choice_of
from core.readers.builtin import NAME as BUILTIN
from core.readers.builtin import can_read, caution, shown_name
from core.runs.targets import full_name, to_record
from db.samples import count_samples
from pages.components import address, layout, resources, state
from pages.components.predict.detail import show_reading
from pages.components.predict.images import STORED, name_unreadable, of_project, of_uploads, read_missing
from pages.components.predict.table import choose_reading, show_download

page = layout.open_page("predict")
project, spec, home = page.project, page.spec, layout.home()

runs = layout.find_runs_with_a_model(project) if can_read(spec) else layout.runs_with_a_model(project)
with layout.errors(), layout.database() as db:
    default = next((name for name, where in STORED.items() if count_samples(db, project.id, **where)), "upload")
with st.container(horizontal=True, vertical_alignment="bottom"):
    reader = "run"
    if can_read(spec):
        readers = ["run", BUILTIN] if runs else [BUILTIN]
        reader = st.segmented_control(
            "Reader", readers, default=readers[0], required=True, format_func=shown_name,
            **address.widget("reader", readers, readers[0], key=f"reader of {project.id}"),
        )  # fmt: skip
    run = runs[layout.choose_run(project, list(runs))] if reader == "run" else None
    who = run.job.id if run else BUILTIN
    sources = ["upload", *STORED]
    source = st.segmented_control(
        "Images",
        sources,
        default=default,
        required=True,
        **address.widget("images", sources, default, refusal="There are no images {asked!r}."),
    )
    text = ""
    if source != "upload":
        text = st.text_input(
            "Search", live="300ms", placeholder="Label, file name or pixel hash", width=200,
            **address.widget(state.SEARCH, None, ""),
        ).strip()  # fmt: skip
    with layout.errors():
        choice = choice_of(home.run(run.job.id) if run else None)
    tta = st.toggle(
        "Test-time augmentation", value=choice.use,
        **address.widget(state.TTA, None, choice.use, key=f"tta of {who}"),
        help=f"Averages over these views: {layout.plain(', '.join(view.name for view in choice.views))}.",
    )  # fmt: skip

if not runs:
    note = "The built-in reader learned from rendered text, not from this project. Its confidence is not calibrated."
    layout.say_no_model(project, note)
if reader == BUILTIN and (sentence := caution(spec)):
    st.warning(layout.plain(sentence), icon=":material/help:")

buttons = st.container(horizontal=True, vertical_alignment="center")
if source == "upload":
    pictures = of_uploads(project)
else:
    with buttons:
        pictures = of_project(project, source, text)
if not pictures:
    layout.stop()

with layout.errors():
    predictor = resources.predictor(home, run) if run else resources.builtin_predictor(home, project)
    known = resources.readings(full_name(predictor, f"{home.root} {project.id} {who} {predictor.frame}", tta=tta))
read_missing(pictures, predictor, known, tta=tta)

readings = [known[each.sha256] for each in pictures]
records = [{"error": each} if isinstance(each, str) else to_record(each) for each in readings]
name_unreadable([f"{each.name}: {why}" for each, why in zip(pictures, readings, strict=True) if isinstance(why, str)])
with buttons if source != "upload" else st.container():
    show_download(project, pictures, records, name=f"{project.name}-{who}-{source}")
read = [(each, reading) for each, reading in zip(pictures, readings, strict=True) if not isinstance(reading, str)]
if read:
    place = choose_reading(
        [each for each, _ in read], [record for record in records if "error" not in record], who=who,
        key=f"{who} {source} {text}",
    )  # fmt: skip
    show_reading(*read[place], predictor, tta=tta)
