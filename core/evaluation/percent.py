"""Format of shares. Rounding never turns nearly all into all."""

from core.evaluation.metrics import interval95


def share(correct: int, n: int) -> str:
    """Format a share with its 95% interval: "96.7% (88.5% to 99.6%)". Show it beside the two counts."""
    value, interval = share_and_interval(correct, n)
    return f"{value} ({interval})"


def counted(correct: int, n: int) -> str:
    """Format counts and share: "412/500 = 82.4% (78.8% to 85.6%)"."""
    return f"{correct:,}/{n:,} = {share(correct, n)}"


def share_and_interval(correct: int, n: int) -> tuple[str, str]:
    """Format share and interval: "96.7%" and "88.5% to 99.6%"."""
    low, high = interval95(correct, n)
    places = 1
    # More digits, so that neither 9,999 of 10,000 nor a bound below 1 reads as 100.0%.
    while places < 5 and any(end < 1 and round(end, places + 2) == 1 for end in (low, correct / n)):
        places += 1
    return f"{correct / n:.{places}%}", f"{low:.{places}%} to {high:.{places}%}"


def percent(value: float, places: int = 1) -> str:
    """Format a share: "96.7%"; ">99.9%" and "<0.1%" near the ends."""
    text, full, zero = (f"{each:.{places}%}" for each in (value, 1, 0))
    smallest = 10**-places
    if text == full and value < 1:
        return f">{100 - smallest:.{places}f}%"
    if text == zero and value > 0:
        return f"<{smallest:.{places}f}%"
    return text


def at_least(value: float, places: int = 2) -> str:
    """Format a lower bound: "99.51%", rounded down, without trailing zeros."""
    scale = 10**places
    text = f"{int(value * 100 * scale + 1e-7) / scale:.{places}f}"
    return f"{text.rstrip('0').rstrip('.')}%"


def rate(value: float) -> str:
    """Format an error rate: "1%", "0.333%"; "<0.001%" near 0."""
    text = f"{100 * value:.3f}".rstrip("0").rstrip(".")
    return "<0.001%" if text == "0" and value > 0 else f"{text}%"
