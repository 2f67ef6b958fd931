"""Names in st.session_state (including widget keys) that several functions read or write.

The key of a widget that is in the address is also its name there, unless the page gives another one.
"""

from db.records import Project, Run, Sample

# Where the browser is

PAGE = "is on"
"""Name of the current page, such as "train"."""
PLACE = "place"
"""The visitor's place, which only pages.components.address uses."""
RENAMED = "renamed"
"""The former name of a project that an address had, its new name, and when that was."""
RUNS_SHOWN = "runs shown"
"""Id of the last run shown, by project name."""

# Operator

OPERATOR = "operator"
"""Box in the sidebar: the chosen or typed name."""
OPERATOR_NAME = "operator name"
"""The last valid name chosen there; None before the first choice."""

# Boxes that several pages or functions share

PROJECT = "project"
"""Box in the sidebar: name of the project."""
RUN = "run"
"""Box of a page: id of the current run; None on Train means a new run."""
OTHER_RUN = "other"
"""Box of a page: id of the run to compare with."""
SEARCH = "search"
"""Field: label, name or hash of images."""

# Label, Review, Samples

QUEUE = "queue"
"""Label: the queue of images. The widget can change it."""
BLIND = "validation and test"
"""Label: value of the filter of images, for those whose labels prove what readers and runs are worth."""
SHOW = "show"
"""Review: labels, disputed or suspected. The widget can change it."""
SAMPLES_PAGE = "page"
"""Samples: number of the page of the table."""
OUTCOME = "outcome"
"""Samples: name of the last saved image and the outcome, until they have been shown."""
TAG = "tag"
"""Samples, Review: the box of tags."""
SAVED_FILTERS, FILTERS_NAME = "saved filters", "name of the filters"
"""Samples: the box of saved filters, and the field for the name of new ones."""
SAMPLES_ROW = "samples row"
"""Samples: the list, and the row of the image beside it."""
BULK_TAG, BULK_SOURCE, BULK_FORM, BULK_REASON = "bulk tag", "bulk source", "bulk format", "bulk reason"
"""Samples: the fields of the actions on many images."""
BULK_DONE = "bulk done"
"""Samples: the list, and what the last action on many images did."""
BULK_EXPORTED = "bulk exported"
"""Samples: format and images of the newest export of a selection, and the export."""

ACCEPTED = "accepted readings"
"""Propose: the outcome of accepting readings, until it has been shown."""
REMOVED = "removed labels"
"""Propose, Samples: the outcome of a removal of labels, until it has been shown."""


def removal_field(kind: str) -> str:
    """Propose, Samples: the field in which the operator confirms the removal of all labels of a kind."""
    return f"remove labels of {kind}"


def scope_box(choice: str) -> str:
    """Samples: the control that says which images of a list the actions are about."""
    return f"scope of {choice}"


def label_field(sample: Sample) -> str:
    """Samples: the field for the label of this version of an image."""
    return f"label of {sample.id} at {sample.version}"


# Train

WATCHED_RUNS = "watched runs"
"""Ids of the runs that the visitor has seen at work, until a page says that they have ended."""
PRESET = "preset"
"""The preset the form starts from."""
CLONED = "clone"
"""Id of the run the form was filled from; absent if it starts from a preset."""
TRAIN_REQUEST = "train request"
"""Request id of the form on screen, so that a double click starts one run."""


def option_field(basis: str, option: str) -> str:
    """Train: the field of an option in a form that starts from the preset or run `basis`."""
    return f"{basis} {option}"


def next_recipe(project: Project) -> str:
    """Train: the box for the augmentation of the next run."""
    return f"recipe of {project.id}"


# Augment

OWN_SETTINGS = "augment"
"""Unnamed settings for the next run, by project id: a later project may have the same name."""
CHOSEN_RECIPES = "recipe for the next run"
"""Title of the recipe for the next run, by project id; absent if the default applies."""
LAST_SETTINGS = "last augment settings"
"""Augment: the next run's recipe and the page's settings at the last visit, by project id."""
RECIPE_NAME, RECIPE_NOTE = "recipe name", "recipe note"
"""Fields under Save as."""
PICK = "pick"
"""Seed for choosing a training image."""


def recipe_box(project: Project) -> str:
    """Augment: the chosen recipe of one project."""
    return f"augment recipe of {project.id}"


def transform_field(transform: str, param: str = "") -> str:
    """Augment: the switch of a transform, or the slider of a parameter; p is the share of images."""
    return f"{transform} {param}" if param else transform


# Evaluate, Compare

SPLIT = "split"
"""Box: val, test, or next for a source."""
NEXT_SOURCE = "next"
"""Box: name of the source that a run has not seen."""
TTA = "tta"
"""Switch: show results with test-time augmentation."""
SECTION = "section"
"""Evaluate, Compare, Augment: the open tab."""
CELL = "cell"
"""Evaluate: name of the clicked cell of a confusion matrix. It stands in the address only."""
CLICKS = "clicks"
"""Evaluate: number of clicks on cells."""
CLICKED = "clicked"
"""Evaluate: that number from a click until its images are drawn."""
VIEWS_CHANGED = "views changed"
"""Evaluate: set when the TTA tab has changed something that the rest of the page shows."""
SLICES_FILTER = "filter"
"""Evaluate: the filter field of the Slices tab."""


def unlock_test_box(run: Run) -> str:
    """Evaluate: the box that unlocks the test set for one evaluation of a run."""
    return f"unlock test for {run.job.id}"


# Home

IMPORT_FILES, IMPORT_LABEL_FILE = "import files", "import label file"
"""Uploaders of the import form."""
IMPORT_FOLLOWS = "import follows"
"""Project of the sidebar that the import form has last taken over."""
EXPORTED = "exported"
"""Home: project and format of the newest export, and the export."""
IMPORT_SHOWN = "import shown"
"""Home: set when the visitor has opened the import form."""
IMPORT_REFUSED = "import refused"
"""Set when the button of the import form was pressed in vain. The form then shows all problems."""
