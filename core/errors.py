"""What can go wrong because of input, in one sentence each, with a cause where a program decides by it.

SlotlabError             anything a user can cause or mend; str(error) may be shown as it is
├── OptionError          a setting, an argument or a name of a project is wrong
├── LabelError           a text does not fit the project's length and charset
├── ImageError           bytes that are no usable image
├── ImportSourceError    a folder, zip or CSV that cannot be imported
├── TrainingError        a run that cannot start or cannot go on
│   └── NonFiniteError   its loss is no longer a finite number
├── CheckpointError      saved weights are missing, damaged or of another format
├── JobError             a job that does not exist, or is in the wrong state
└── StorageError         the database file is missing, damaged, newer, or cannot be written
"""

from typing import Literal

Cause = Literal["non_finite", "out_of_memory", "disk_full"]
"""Why a job failed, for programs: the doctor advises by it. The sentence is for people and may be reworded."""


class SlotlabError(Exception):
    """The root: command line and pages show its text and nothing else."""

    cause: Cause | None = None


class OptionError(SlotlabError): ...


class LabelError(SlotlabError): ...


class ImageError(SlotlabError): ...


class ImportSourceError(SlotlabError): ...


class TrainingError(SlotlabError): ...


class NonFiniteError(TrainingError):
    """A loss that is infinite or no number."""

    cause = "non_finite"


class CheckpointError(SlotlabError): ...


class JobError(SlotlabError): ...


class StorageError(SlotlabError): ...
