"""What the server sides of the widgets share: their files, whose events a message brings, and errors as sentences."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any

from core.errors import SlotlabError
from pages.components.operators import name_of_event


def widget_files(name: str) -> dict[str, str]:
    """html, css and js of a widget; browser.js comes before its own script, in one module."""
    folder = Path(__file__).parent
    files = {kind: (folder / f"{name}.{kind}").read_text("utf-8") for kind in ("html", "css", "js")}
    return files | {"js": (folder / "browser.js").read_text("utf-8") + files["js"]}


def events_by_operator(events: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, list[Mapping[str, Any]]]]:
    """The events in their order, in runs of one operator each: the name may have changed since they were typed."""
    for name, run in groupby(events, key=lambda event: name_of_event(event.get("operator"))):
        yield name, list(run)


@contextmanager
def told(problems: list[str]) -> Iterator[None]:
    """Tell the browser of a mistake instead of ending the script: the widget would go, and the typing with it."""
    try:
        yield
    except SlotlabError as error:
        problems.append(str(error))
    except Exception:
        logging.getLogger(__name__).exception("A widget's message was not handled.")
        problems.append("The server made a mistake; its log says which. Everything is kept here and sent again.")
