"""The picture for the README: how many times faster, or smaller, for the rows with a target."""

import json
from pathlib import Path

from report import row_from_json

BENCHES = ("size", "save", "load", "columns", "time", "table", "availability", "fuzzy", "start")
OURS_COLOUR, LINE_COLOUR, TARGET_COLOUR = "#2a6f97", "#555555", "#d1495b"
WIDTH_INCHES, DOTS_PER_INCH = 8.0, 100


def bars(results: Path) -> list[tuple[str, float, float | None]]:
    """Return what each bar is: its name, how many times better than upstream, and the target.

    A size or a share below 1 is turned round, so that longer is better in all bars.
    """
    found = []
    for name in BENCHES:
        file = results / f"{name}.json"
        stored = json.loads(file.read_text(encoding="utf-8"))["rows"] if file.exists() else []
        for row in map(row_from_json, stored):
            limit = row.limit
            if limit is None or row.against not in {"upstream", "upstream's"}:
                continue
            if row.target in {"not slower", "not larger"}:
                continue
            is_share = limit.at_most is not None
            value = 1 / row.value if is_share else row.value
            bound = limit.at_least if limit.at_most is None else 1 / limit.at_most
            label = f"{row.what} (smaller)" if row.target == "size" else row.what
            found.append((label.replace("`", ""), value, bound))
    return found


def draw(results: Path, picture: Path) -> None:
    """Draw the bars on a logarithmic scale."""
    found = bars(results)
    if not found:
        return
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    height = 1.2 + 0.36 * len(found)
    figure, axes = plt.subplots(figsize=(WIDTH_INCHES, height), layout="constrained")
    beside = axes.get_yaxis_transform()  # right of the axes, where no bar is
    for at, (_, value, bound) in enumerate(found):
        axes.barh(at, value - 1, left=1, height=0.62, color=OURS_COLOUR)
        axes.text(1.02, at, text_of(value), transform=beside, verticalalignment="center")
        if bound is not None:
            axes.plot([bound, bound], [at - 0.4, at + 0.4], color=TARGET_COLOUR, linewidth=2)
    axes.plot([], [], color=TARGET_COLOUR, linewidth=2, label="target")
    axes.axvline(1, color=LINE_COLOUR, linewidth=1)
    axes.set_xscale("log")
    axes.set_xlim(*limits(found))
    axes.set_yticks(range(len(found)), [label for label, _, _ in found])
    axes.invert_yaxis()
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}x")
    axes.set_title("how many times better than strax 2.2.3 with its defaults", fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="upper right")
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture, dpi=DOTS_PER_INCH, metadata={"Software": None})
    plt.close(figure)


def limits(found: list[tuple[str, float, float | None]]) -> tuple[float, float]:
    """Return the ends of the scale: all bars and targets."""
    ends = [1.0, *(value for _, value, _ in found), *(bound for *_, bound in found if bound)]
    return min(ends) / 1.3, max(ends) * 1.3


def text_of(value: float) -> str:
    """Return a number as people read it."""
    return f"{value:.0f}x" if value >= 10 else f"{value:.1f}x"  # noqa: PLR2004
