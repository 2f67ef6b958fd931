"""A small network for three digits that builds quickly."""

from core.model.network import Recognizer


def make(**changes: object) -> Recognizer:
    options = {
        "positions": 3,
        "classes": 10,
        "image_size": (32, 96),
        "backbone": "test_resnet",
        "stride": 16,
        "head": "query",
        "width": 32,
        "ink": True,
        "centers": [0.2, 0.5, 0.8],
        "sigma": 0.2,
    }
    return Recognizer(**(options | changes))  # type: ignore[arg-type]
