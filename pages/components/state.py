"""Names in st.session_state, keys of widgets among them, that more than one function reads or writes.

The key of a widget that is bound to the address is also the name of its query parameter.
"""

from db.records import Project, Run, Sample

# Where the browser is

PAGE = "is on"
"""Name of the page that is shown, as train."""
PAGE_BEFORE = "came from"
"""Name of the page of the run before; the same one unless the page has just changed."""
PROJECT_ID = "is on project"
"""Id of the project that is shown."""
PROJECT_ID_BEFORE = "came from project"
"""Id of the project of the run before."""

# Who acts

OPERATOR = "operator"
"""Box of the sidebar: the name that is chosen or typed there."""
OPERATOR_NAME = "operator name"
"""The last name chosen there that can be one; None before the first choice."""

# What is shown: boxes that several pages or functions share

PROJECT = "project"
"""Box of the sidebar: name of the project."""
RUN = "run"
"""Box of a page: id of the run that is shown; None on Train stands for a new run."""
OTHER_RUN = "other"
"""Box of a page: id of the run that is compared with."""
SEARCH = "search"
"""Field: label, name or hash of the images that are asked for."""

# Label, Review, Samples

QUEUE = "queue"
"""Label: the kind of images that are labeled; its widget may ask for another."""
SHOW = "show"
"""Review: labels or disputed images; its widget may ask for the other."""
SAMPLES_PAGE = "page"
"""Samples: number of the page of the table."""
OUTCOME = "outcome"
"""Samples: name of the image that was saved last, and what became of it; until it is shown."""


def label_field(sample: Sample) -> str:
    """Samples: the field for the label of this version of an image."""
    return f"label of {sample.id} at {sample.version}"


# Train

PRESET = "preset"
"""The preset that the form starts from."""
CLONED = "clone"
"""Id of the run that the form was filled from; absent where it starts from a preset."""
TRAIN_REQUEST = "train request"
"""Id of the run that the form on the screen will start; a double click starts one run."""


def option_field(basis: str, option: str) -> str:
    """Train: the field of an option, in the form that starts from the preset or run `basis`."""
    return f"{basis} {option}"


def next_recipe(project: Project) -> str:
    """Train: the box for the augmentation of the next run."""
    return f"recipe of {project.name}"


# Augment

OWN_SETTINGS = "augment"
"""Settings without a name that the next run is to use, by name of the project."""
CHOSEN_RECIPES = "recipe for the next run"
"""Title of the recipe that the next run is to use, by name of the project; absent where its default applies."""
LEFT_AT = "augment left at"
"""What the next run was to use when Augment was left, and the settings it was left at, by name of the project."""
RECIPE_NAME, RECIPE_NOTE = "recipe name", "recipe note"
"""Fields under Save as."""
PICK = "pick"
"""Number of the draw of a training image."""


def recipe_box(project: Project) -> str:
    """Augment: the box of recipes, whose choice belongs to one project."""
    return f"augment recipe of {project.name}"


def transform_field(transform: str, param: str = "") -> str:
    """Augment: the switch of a transform, or the slider of one of its parameters; p is the share of images."""
    return f"{transform} {param}" if param else transform


# Evaluate, Compare

SPLIT = "split"
"""Box: val or test."""
TTA = "tta"
"""Switch: whether the numbers are those with test-time augmentation."""
SECTION = "section"
"""In the address: the open tab. On Compare it is also the key of the tabs."""
SECTION_TAB = "section tab"
"""Evaluate: the tabs, whose labels are not the values in the address."""
CELL, CLICKS = "cell", "clicks"
"""Evaluate: the cell of a confusion matrix that was clicked last, and how many clicks there were."""
VIEWS_CHANGED = "views changed"
"""Evaluate: set when the section of the views changed what the rest of the page speaks of."""
SLICES_FILTER = "filter"
"""Evaluate: the field for a filter of one's own."""


def unlock_test_box(run: Run) -> str:
    """Evaluate: the box that unlocks the test set for one evaluation of a run."""
    return f"unlock test for {run.job.id}"


# Home

IMPORT_FILES, IMPORT_LABEL_FILE = "import files", "import label file"
"""Uploaders of the import form."""
