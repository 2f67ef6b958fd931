"""Shares as the project shows them everywhere: no rounding makes all of what is only nearly all."""

from core.evaluation.metrics import interval95


def share(correct: int, n: int) -> str:
    """With its 95% interval, as "96.7% (88.5% to 99.6%)"; always shown beside the two numbers themselves."""
    value, interval = share_and_interval(correct, n)
    return f"{value} ({interval})"


def counted(correct: int, n: int) -> str:
    """As "412/500 = 82.4% (78.8% to 85.6%)"."""
    return f"{correct:,}/{n:,} = {share(correct, n)}"


def share_and_interval(correct: int, n: int) -> tuple[str, str]:
    """As "96.7%" and "88.5% to 99.6%"."""
    low, high = interval95(correct, n)
    places = 1
    # 9,999 of 10,000 are not 100.0%, nor are at least so many shown by 10,000.
    while places < 5 and any(end < 1 and round(end, places + 2) == 1 for end in (low, correct / n)):
        places += 1
    return f"{correct / n:.{places}%}", f"{low:.{places}%} to {high:.{places}%}"


def percent(value: float, places: int = 1) -> str:
    """As "96.7%"; never 100% or 0% of what is only nearly so."""
    text, all_of_it, nothing = (f"{each:.{places}%}" for each in (value, 1, 0))
    least = 10**-places
    if text == all_of_it and value < 1:
        return f">{100 - least:.{places}f}%"
    if text == nothing and value > 0:
        return f"<{least:.{places}f}%"
    return text


def at_least(value: float, places: int = 2) -> str:
    """As "99.51%", rounded down, for no rounding may claim more than was shown; without idle zeros behind the point."""
    scale = 10**places
    text = f"{int(value * 100 * scale + 1e-7) / scale:.{places}f}"
    return f"{text.rstrip('0').rstrip('.')}%"
