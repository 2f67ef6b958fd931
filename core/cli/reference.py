"""Write the option table of the README: `python -m core.cli.reference`."""

from pathlib import Path

from core.model.config import OPTIONS

README = Path(__file__).parents[2] / "README.md"
BEGIN, END = "<!-- options: written by `python -m core.cli.reference` -->", "<!-- /options -->"


def option_table() -> str:
    """Return the keys of `--set` as a Markdown table."""
    cells = [(f"`{it.name}`", it.text(it.default), it.allowed, it.help) for it in OPTIONS.values()]
    rows = ["| " + " | ".join(row) + " |" for row in cells]
    return "\n".join(["| option | default | values | meaning |", "|---|---|---|---|", *rows])


def with_table(text: str) -> str:
    """Return the README with the table between its marks."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{option_table()}\n\n{END}{after}"


if __name__ == "__main__":
    README.write_text(with_table(README.read_text(encoding="utf-8")), encoding="utf-8")
