"""What can go wrong because of input, in one sentence each.

SlotlabError             anything a user can cause or mend; str(error) may be shown as it is
├── OptionError          a setting, an argument or a name of a project is wrong
├── LabelError           a text does not fit the project's length and charset
├── ImageError           bytes that are no usable image
├── ImportSourceError    a folder, zip or CSV that cannot be imported
├── TrainingError        a run that cannot start or cannot go on
├── CheckpointError      saved weights are missing, damaged or of another format
├── JobError             a job that does not exist, or is in the wrong state
└── StorageError         the database file is missing, damaged, newer, or cannot be written
"""


class SlotlabError(Exception):
    """The root: command line and pages show its text and nothing else."""


class OptionError(SlotlabError): ...


class LabelError(SlotlabError): ...


class ImageError(SlotlabError): ...


class ImportSourceError(SlotlabError): ...


class TrainingError(SlotlabError): ...


class CheckpointError(SlotlabError): ...


class JobError(SlotlabError): ...


class StorageError(SlotlabError): ...
