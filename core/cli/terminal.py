"""Output of the command line: lines without control characters, and streams that may be full or closed."""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from core.errors import AmbiguousLabelsError, SlotlabError
from core.files import shortened


def printable(text: str) -> str:
    """Replace control characters, so that an outside name cannot control the terminal or begin a line."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def print_line(text: str) -> None:
    print(printable(text), flush=True)


def print_error(text: str) -> None:
    print(printable(text), file=sys.stderr, flush=True)


@contextmanager
def one_sentence() -> Iterator[None]:
    """Turn an error of the block into one line on stderr and exit code 1, or 130 for Ctrl-C.

    Labels that can be read in two ways give 2, as an invalid option does: an option decides.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # file names need not be valid Unicode
    try:
        try:
            yield
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()  # else Python reports a full device after we have ended
    except SlotlabError as error:
        _exit(str(error), 2 if isinstance(error, AmbiguousLabelsError) else 1)
    except UnicodeEncodeError as error:  # of an argument; what we store is valid
        _exit(f"{shortened(error.object)!r} is not UTF-8 text.")
    except BrokenPipeError:
        _abandon_output()
        sys.exit(1)
    except OSError as error:
        _abandon_output()
        _exit(f"{shortened(str(error.filename or 'Standard output'))}: {error.strerror or error}.")
    except KeyboardInterrupt:
        sys.exit(130)


def _exit(sentence: str, code: int = 1) -> None:
    with suppress(OSError):  # nobody reads stderr
        print_error(f"slotlab: {sentence}")
    sys.exit(code)


def _abandon_output() -> None:
    """Discard the rest of stdout. Python would try to write it at exit, and report that failure too."""
    with suppress(OSError, AttributeError):  # a stream of a test, or none
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
