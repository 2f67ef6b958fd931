"""Errors that a user can cause or fix. The text is one sentence for people; the cause is a code for programs.

All derive from SlotlabError, whose text can be shown to the user:

* OptionError: an invalid setting, argument or project name. AmbiguousLabelsError: labels that can be read in two ways.
* LabelError: a text that does not fit the project's length and charset.
* ImageError: bytes that are not a usable image.
* ImportSourceError: a folder, zip or CSV that cannot be imported.
* TrainingError: a run that cannot start or continue. NonFiniteError: a loss that is not finite.
* CheckpointError: saved weights that are missing, damaged or in another format.
* ExportError: a run that cannot become a bundle.
* JobError: a job that does not exist or is in the wrong state.
* StorageError: a database or file that is missing, damaged, newer or not writable.
"""

from typing import Literal

Cause = Literal["non_finite", "out_of_memory", "disk_full"]
"""Why a job failed, as a code. Programs decide by it and never by the sentence, which may be reworded."""


class SlotlabError(Exception):
    """The base class. The command line and the pages show only its text."""

    cause: Cause | None = None


class OptionError(SlotlabError): ...


class AmbiguousLabelsError(OptionError):
    """Labels of an import that can be read in two ways. The sentence names the option that decides."""


class LabelError(SlotlabError): ...


class ImageError(SlotlabError): ...


class ImportSourceError(SlotlabError): ...


class TrainingError(SlotlabError): ...


class NonFiniteError(TrainingError):
    """A loss that is infinite or not a number."""

    cause = "non_finite"


class CheckpointError(SlotlabError): ...


class ExportError(SlotlabError): ...


class JobError(SlotlabError): ...


class StorageError(SlotlabError): ...
