"""Normal against abnormal beats: where a model of beats looks on average, class by class, in one record.

What articles show of such models (Grad-CAM of a normal beside that of an abnormal beat) depends on the beats
that were picked; here are means over beats drawn evenly from the whole record.

Shapes: B beat, L lead, T time.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from reports.numbers import count_words, whole_percent_words
from reports.words import sentence
from search.data.readers.mitbih import N_BEFORE, RATE_HZ
from search.data.recordings.csv_file import CsvOptions
from search.data.recordings.files import find_recordings
from search.errors import DataError, RecordError, UsageError
from search.explain import words
from search.explain.attribution import Method, attribute_each, captum_attr
from search.explain.beats import beat_class
from search.explain.explain import ExplainOptions, Opened, open_record, person_asked_for
from search.explain.networks import Networks, load_networks
from search.explain.sheet import FINE, HEIGHT, INK, WIDTH, colours

Floats = NDArray[np.float64]

MOST_BEATS: Final = 40
"""Beats of a class that means are taken over."""
QRS_S: Final = 0.06
"""Seconds on both sides of the R peak: together as wide as a QRS complex of 120 ms."""
BAND: Final = (0.1, 0.9)
"""Quantiles of the voltages that are drawn about their mean."""
COLUMNS: Final = 5
"""Classes beside each other; further ones stand below."""
TITLE_WIDTH: Final = 28
"""Letters in a line above a column."""
NORMAL: Final = "N"
"""Symbol and class of normal beats, which come first."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class BeatGroup:
    """The beats of a class."""

    name: str
    description: str | None
    n_beats: int
    """Annotated in the record, with room for a window."""
    n_averaged: int
    """Beats that are averaged, drawn evenly."""
    n_right: int
    """Averaged beats for which this class is the most probable one."""
    mean_mv_LT: Floats
    """Mean of the recorded beats, each about the median of the lead in its window."""
    low_mv_LT: Floats
    """Tenth percentile."""
    high_mv_LT: Floats
    """Ninetieth percentile."""
    map_LT: Floats
    """Mean map for the class, at the rate of the model: of Grad-CAM one row for all leads."""
    qrs_share: float
    """Share of the map, without sign, within `QRS_S` of the R peak; NaN where it is zero everywhere."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Comparison:
    """Beats of one record, class by class."""

    record: str
    networks: Networks
    method: Method
    rate_hz: float
    """Sampling rate of the recording."""
    groups: tuple[BeatGroup, ...]
    """Groups of classes that occur: normal beats, then the others in the order of the model."""
    fold_words: str | None
    """Warning that the record was trained on, so that the pictures may not hold for new ones; else None."""

    @property
    def leads(self) -> tuple[str, ...]:
        """Names, axis L."""
        return self.networks.folder.preprocessing.leads

    @property
    def absent(self) -> tuple[str, ...]:
        """Classes of the model of which the record has no beat."""
        there = {group.name for group in self.groups}
        return tuple(
            each.name for each in self.networks.folder.labels.tiers[0].classes if each.name not in there
        )

    @property
    def qrs_of_time(self) -> float:
        """Share of the window within `QRS_S` of the R peak."""
        preprocessing = self.networks.folder.preprocessing
        return 2 * QRS_S * preprocessing.rate_hz / preprocessing.n_samples


def compare_beats(options: ExplainOptions) -> list[Comparison]:
    """Carry out `explain --compare`: a comparison for each record.

    Raises:
        UsageError: The model takes records, a class or a window is named as well, a path does not exist, or
            captum is not installed.
        DataError: The model cannot be used, or a record cannot be read or has no annotated beats.
    """
    if options.classes or options.window is not None:
        raise UsageError("--compare shows all classes of beats: leave --class and --window out")
    captum_attr()
    networks = load_networks(options.model)
    if networks.folder.preprocessing.row != "beat":
        raise UsageError(
            f"--compare: {options.model} is a model of records; normal and abnormal beats are compared with "
            "a model of beats, such as those of MIT-BIH"
        )
    found = find_recordings(options.records, with_csv=False)
    person = person_asked_for(options, networks, n_recordings=len(found.paths))
    comparisons = []
    for path, name in zip(found.paths, found.names, strict=True):
        try:
            opened = open_record(path, name, networks, CsvOptions(), person)
            comparisons.append(_compare(opened, options.method))
        except RecordError as error:
            raise DataError(f"{name}: {error}") from error
    return comparisons


def _compare(opened: Opened, method: Method) -> Comparison:
    labels = opened.networks.folder.labels
    class_of_beat = [beat_class(symbol, labels) for symbol in opened.symbols]
    groups = []
    for column, label in enumerate(labels.tiers[0].classes):
        numbers = [number for number, name in enumerate(class_of_beat) if name == label.name]
        if not numbers:
            continue
        places = np.unique(np.linspace(0, len(numbers) - 1, MOST_BEATS).round().astype(int))
        drawn = [numbers[place] for place in places.tolist()]
        groups.append(_group(opened, column, drawn, len(numbers), method))
    if not groups:
        raise RecordError(
            f"has no beat of a class of the model, but {', '.join(sorted(set(opened.symbols)))}"
        )
    truth = opened.truth(0)
    return Comparison(
        record=opened.name,
        networks=opened.networks,
        method=method,
        rate_hz=opened.recording.rate_hz,
        groups=tuple(sorted(groups, key=lambda group: group.name != NORMAL)),
        fold_words=None if truth is None else truth.fold_words,
    )


def _group(opened: Opened, column: int, numbers: Sequence[int], n_beats: int, method: Method) -> BeatGroup:
    windows = [window for number in numbers if (window := opened.window(number)).problem is None]
    if not windows:
        raise RecordError(str(opened.window(numbers[0]).problem))
    preprocessing = opened.networks.folder.preprocessing
    label = opened.networks.folder.labels.tiers[0].classes[column]
    mv_BLT = np.stack([window.native_LT for window in windows]) / 1000.0
    mv_BLT -= np.median(mv_BLT, axis=2, keepdims=True)
    x_BLT = np.stack([window.x_LT for window in windows])
    p_BC = opened.networks.probabilities(x_BLT)
    map_LT = attribute_each(opened.networks, x_BLT, column, method).mean(axis=0)
    from_peak_s = np.abs(np.arange(map_LT.shape[1]) / preprocessing.rate_hz - N_BEFORE / RATE_HZ)
    size_T = np.abs(map_LT).sum(axis=0)
    total = float(size_T.sum())
    return BeatGroup(
        name=label.name,
        description=label.description,
        n_beats=n_beats,
        n_averaged=len(windows),
        n_right=int(np.count_nonzero(p_BC.argmax(axis=1) == column)),
        mean_mv_LT=mv_BLT.mean(axis=0),
        low_mv_LT=np.quantile(mv_BLT, BAND[0], axis=0),
        high_mv_LT=np.quantile(mv_BLT, BAND[1], axis=0),
        map_LT=map_LT,
        qrs_share=float(size_T[from_peak_s <= QRS_S].sum() / total) if total else float("nan"),
    )


# ---------------------------------------------------------------------------------------------------------
# In words


def group_words(group: BeatGroup) -> str:
    """`mean of 40 of 105 beats, 38 of them called V`."""
    of_all = "" if group.n_averaged == group.n_beats else f"{group.n_averaged:,} of "
    return f"mean of {of_all}{count_words(group.n_beats, 'beat')}, {group.n_right:,} called {group.name}"


def share_words(group: BeatGroup, of_time: float) -> str:
    """`QRS: 41 % of the map, 12 % of the time`."""
    if np.isnan(group.qrs_share):
        return "the map is zero everywhere"
    return (
        f"QRS: {whole_percent_words(group.qrs_share)} of the map, {whole_percent_words(of_time)} of the time"
    )


def summary(compared: Comparison) -> str:
    """Terminal summary of a comparison."""
    said = "; ".join(
        f"{group.name}: {group_words(group)}; {share_words(group, compared.qrs_of_time)}"
        for group in compared.groups
    )
    return f"{words.record_words(compared.record)}: {said}"


def notes(compared: Comparison) -> list[str]:
    """Everything below the pictures."""
    method = words.METHOD_NAMES[compared.method]
    found = [
        words.limits_words(),
        "Black: mean voltage of the beats; grey: from the tenth to the ninetieth percentile of each moment. "
        f"Colour: mean {method} for the class above it, darkest at the largest value of the class. Beats are "
        "drawn evenly from the whole record, whatever the model calls them. QRS is what lies within "
        f"{1000 * QRS_S:g} ms of the R peak.",
    ]
    if compared.absent:
        found.append(f"The record has no beat of {', '.join(compared.absent)}.")
    if compared.fold_words is not None:
        found.append(f"{sentence(compared.fold_words)}.")
    return found


# ---------------------------------------------------------------------------------------------------------
# Drawing


def make_comparison(compared: Comparison) -> Figure:
    """Draw a comparison: a column for each class, a row for each lead."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rc("font", size=8.0)
        return _draw(compared)


def _draw(compared: Comparison) -> Figure:
    n_lines = -(-len(compared.groups) // COLUMNS)
    n_columns, n_leads = min(len(compared.groups), COLUMNS), len(compared.leads)
    height = HEIGHT + (n_lines - 1) * 120.0
    figure = Figure(figsize=(WIDTH / 25.4, height / 25.4), facecolor="white")
    FigureCanvasAgg(figure)
    _draw_words(figure, compared, height)
    grid = figure.add_gridspec(
        n_lines * n_leads,
        n_columns,
        left=18 / WIDTH,
        right=1 - 8 / WIDTH,
        bottom=38 / height,
        top=1 - 48 / height,
        wspace=0.12,
        hspace=0.16 if n_lines == 1 else 0.5,
    )
    limits = [
        _limits([(group.low_mv_LT[lead], group.high_mv_LT[lead]) for group in compared.groups])
        for lead in range(n_leads)
    ]
    for number, group in enumerate(compared.groups):
        line, column = divmod(number, COLUMNS)
        for lead in range(n_leads):
            axes = figure.add_subplot(grid[line * n_leads + lead, column])
            _draw_group(axes, compared, group, lead, limits[lead])
            if lead == 0:
                _draw_title(axes, compared, group)
            axes.tick_params(labelleft=column == 0, labelbottom=lead == n_leads - 1)
            if column == 0:
                axes.set_ylabel(f"{compared.leads[lead]}, mV", fontweight="bold")
            if lead == n_leads - 1:
                axes.set_xlabel("ms from the R peak")
    return figure


def _limits(bands: Sequence[tuple[Floats, Floats]]) -> tuple[float, float]:
    low, high = min(float(band[0].min()) for band in bands), max(float(band[1].max()) for band in bands)
    return low - 0.1 * (high - low), high + 0.1 * (high - low)


def _draw_group(
    axes: Axes, compared: Comparison, group: BeatGroup, lead: int, limits: tuple[float, float]
) -> None:
    before_ms = 1000 * N_BEFORE / RATE_HZ
    model_hz = compared.networks.folder.preprocessing.rate_hz
    map_T = group.map_LT[0 if len(group.map_LT) == 1 else lead]
    scale = float(np.abs(group.map_LT).max())
    ends = ((np.array([0, len(map_T)]) - 0.5) * 1000 / model_hz - before_ms).tolist()
    axes.imshow(
        colours(map_T, scale)[None],
        extent=(ends[0], ends[1], *limits),
        aspect="auto",
        interpolation="nearest",
        zorder=1,
    )
    times_ms = np.arange(group.mean_mv_LT.shape[1]) * 1000 / compared.rate_hz - before_ms
    axes.fill_between(
        times_ms,
        group.low_mv_LT[lead],
        group.high_mv_LT[lead],
        color="#777777",
        alpha=0.35,
        linewidth=0,
        zorder=2,
    )
    axes.plot(times_ms, group.mean_mv_LT[lead], color=INK, linewidth=1.1, zorder=3)
    axes.set_xticks([-250, 0, 250])
    axes.set_xlim(ends[0], ends[1])
    axes.set_ylim(*limits)
    axes.grid(color=FINE, linewidth=0.5, zorder=0)
    for spine in axes.spines.values():
        spine.set_color("#999999")


def _draw_title(axes: Axes, compared: Comparison, group: BeatGroup) -> None:
    is_described = group.description is not None and group.description != group.name
    said = f"{group.name}: {group.description}" if is_described else group.name
    lines = (
        group_words(group).replace(", ", "\n", 1),
        share_words(group, compared.qrs_of_time).replace(", ", ",\n", 1),
    )
    axes.set_title("\n".join(lines), fontsize=7.2, loc="left", linespacing=1.3)
    axes.annotate(
        textwrap.fill(said, TITLE_WIDTH, max_lines=2, placeholder=" …"),
        (0.0, 1.0),
        xytext=(0.0, 46.0),
        xycoords="axes fraction",
        textcoords="offset points",
        fontsize=8.5,
        fontweight="bold",
        va="bottom",
    )


def _draw_words(figure: Figure, compared: Comparison, height: float) -> None:
    left, right = 13.5 / WIDTH, 1 - 13.5 / WIDTH
    figure.text(
        left, 1 - 7 / height, "Normal against abnormal beats", fontsize=13, fontweight="bold", va="top"
    )
    figure.text(
        right,
        1 - 7 / height,
        words.record_words(compared.record),
        fontsize=10,
        fontweight="bold",
        ha="right",
        va="top",
    )
    figure.text(
        left,
        1 - 14 / height,
        f"Mean {words.METHOD_NAMES[compared.method]} of each class by the annotations",
        fontsize=9.5,
        va="top",
    )
    figure.text(
        right, 1 - 13 / height, words.model_words(compared.networks), fontsize=9.5, ha="right", va="top"
    )
    synthetic = words.synthetic_words(compared.networks)
    if synthetic is not None:
        figure.text(
            left, 1 - 19.5 / height, synthetic, fontsize=9, fontweight="bold", color="#b00020", va="top"
        )
    text = textwrap.fill("  ".join(notes(compared)), 205)
    figure.text(left, 22 / height, text, fontsize=7.2, va="top", linespacing=1.35)
