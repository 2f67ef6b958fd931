"""The refusal of a request: a status and one sentence."""

from collections.abc import Mapping


class RefusalError(Exception):
    """A request that gets no reading. The text is one sentence for the client."""

    def __init__(self, status: int, sentence: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(sentence)
        self.status = status
        self.headers = dict(headers or {})


def busy() -> RefusalError:
    """Return the refusal of a request for which there is no room."""
    return RefusalError(429, "The service has too many requests. Try again in a second.", {"Retry-After": "1"})
