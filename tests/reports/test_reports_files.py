"""The files of a report: complete, repeatable, written in one step, sensible for any study."""

import json
import os
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from matplotlib.markers import MarkerStyle
from matplotlib.text import Text
from report_records import (
    HeldStudy,
    failed_trial,
    large_study,
    make_study,
    make_trial,
    pruned_trial,
    small_study,
)

from reports import ReportError
from reports.document import report_document
from reports.ensembles.averaging import DEFAULT_SIZE
from reports.ensembles.candidates import Candidates
from reports.ensembles.study import EnsembleStudy, build_ensembles
from reports.ensembles.text import ensemble_document
from reports.evidence import gather
from reports.figures.charts import Symbol
from reports.figures.gallery import charts
from reports.figures.point_names import NamedPoint, overlaps, place_names
from reports.figures.still import AREAS, MARKERS, POINT_AREA, still_figure
from reports.figures.ticks import parameter_limits, parameter_ticks
from reports.folder import default_folder
from reports.numbers import parameter_words
from reports.report import ReportFiles, judged_ensembles, report_contents, write_report
from reports.schema import Report, read_report
from scores.front import front_trials
from storage.records import StudyRecord, TrialRecord

TEXTS = (
    "index.html",
    "report.json",
    "report.schema.json",
    "trials.csv",
    "front.csv",
    "axis_effects.csv",
    "front.tex",
    "metrics.tex",
)
NAMES = (*TEXTS, "front.png", "front.svg", "front.pdf")
"""Files of every report; a study with something to show has more figures."""


def figure_of(study: StudyRecord, trials: list[TrialRecord]) -> Figure:
    report = report_document(gather(HeldStudy(study, trials), study.name), n_resamples=20)
    return still_figure(charts(report)[0])


def contents_of(study: StudyRecord, trials: list[TrialRecord]) -> dict[str, bytes]:
    return report_contents(gather(HeldStudy(study, trials), study.name))


def texts_of(study: StudyRecord, trials: list[TrialRecord]) -> list[str]:
    """Every text in the figure."""
    axes = figure_of(study, trials).axes[0]
    return [text.get_text() for text in axes.texts] + [axes.get_title(loc="left"), axes.get_ylabel()]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> ReportFiles:
    """The report of the small study, in a folder that it makes."""
    folder = tmp_path_factory.mktemp("report") / "new" / "folder"
    return write_report(HeldStudy(*small_study()), "example", folder)


def test_report_holds_its_files(written: ReportFiles) -> None:
    files = written
    names = [path.name for path in files.paths]
    assert tuple(names[: len(TEXTS)]) == TEXTS
    assert set(NAMES) < set(names)
    assert {f"front-superclass.{kind}" for kind in ("png", "svg", "pdf")} < set(names)
    assert sorted(path.name for path in files.folder.iterdir()) == sorted(names)  # nothing temporary is left
    assert files.trials == tuple(small_study()[1])
    document = json.loads(files.report_json.read_text(encoding="utf-8"))
    assert (document["schema_version"], document["study"]) == (1, "example")
    assert document["front"] == [3, 0, 2]
    for path in files.folder.glob("*.svg"):
        assert ElementTree.parse(path).getroot().tag.endswith("svg")
    for path in files.folder.glob("*.pdf"):
        assert path.read_bytes().startswith(b"%PDF")


def test_png_has_300_dots_per_inch(written: ReportFiles) -> None:
    png = (written.folder / "front.png").read_bytes()
    width, height = struct.unpack(">II", png[16:24])
    assert (width, height) == (round(7.2 * 300), round(5.4 * 300))
    at = png.index(b"pHYs")
    assert struct.unpack(">I", png[at + 4 : at + 8])[0] == round(300 / 0.0254)


@pytest.mark.slow
def test_same_records_give_the_same_bytes_whatever_the_users_style(
    written: ReportFiles, tmp_path: Path
) -> None:
    with mpl.rc_context({"font.size": 20, "axes.facecolor": "black", "svg.hashsalt": "other"}):
        again = write_report(HeldStudy(*small_study()), "example", tmp_path)
    for path in written.paths:
        assert path.read_bytes() == (again.folder / path.name).read_bytes(), path.name


@pytest.mark.parametrize("symbol", ["star", "triangle", "diamond", "square"])
def test_symbols_of_models_are_about_as_large_as_a_circle_in_print(symbol: Symbol) -> None:
    def inked(symbol: Symbol) -> float:
        marker = MarkerStyle(MARKERS[symbol])
        outline = marker.get_path().transformed(marker.get_transform())
        x, y = np.concatenate(outline.to_polygons()).T
        area = abs(np.dot(x[:-1], y[1:]) - np.dot(x[1:], y[:-1])) / 2
        return float(area * AREAS.get(symbol, POINT_AREA))

    assert 0.8 < inked(symbol) / inked("circle") < 1.5


def test_settings_of_matplotlib_are_left_as_they_were() -> None:
    before = dict(mpl.rcParams)
    contents_of(make_study(), [])
    assert dict(mpl.rcParams) == before


NOTHING_TO_SHOW = "No trial is complete yet, so there is no front."


@pytest.mark.slow
@pytest.mark.parametrize(
    ("trials", "complete"),
    [
        ([], False),
        pytest.param([make_trial(0, 0.5)], True, marks=pytest.mark.slow),
        pytest.param([make_trial(0, 0.5, fold_scores={1: 0.5})], True, marks=pytest.mark.slow),
        ([make_trial(0, 0.5), make_trial(1, 0.5)], True),
        ([make_trial(0, float("nan"))], False),
        ([pruned_trial(0, [0.3, 0.2]), pruned_trial(1, [])], False),
        ([failed_trial(0)], False),
        ([make_trial(0, state="running"), make_trial(1)], False),
    ],
)
def test_any_study_gives_sensible_files(trials: list[TrialRecord], complete: bool, tmp_path: Path) -> None:
    study = make_study()
    files = write_report(HeldStudy(study, trials), "example", tmp_path)
    assert all((tmp_path / name).stat().st_size > 0 for name in NAMES)
    assert (NOTHING_TO_SHOW in texts_of(study, trials)) is not complete
    assert bool(json.loads(files.report_json.read_text(encoding="utf-8"))["front"]) is complete
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert ("so there is no front" in page) is not complete


def test_members_of_the_front_and_presets_are_named_and_counted() -> None:
    study, trials = small_study()
    texts = "\n".join(texts_of(study, trials))
    for words in (
        "#3 BiLSTM(64)\nwidth ×0.5, dense 512, gate/16",
        "#0 CNN",
        "#2 BiLSTM(128)",
        "cnn-lstm",
        "Study example, target subclass (23 classes)",
        "ptb-xl 1.0.3, 19,601 records of 16,975 patients at 100 Hz",
        "8 trials: 4 complete, 1 pruned, 1 failed, 1 running, 1 waiting",
    ):
        assert words in texts
    assert "SYNTHETIC" not in texts


def test_synthetic_lies_across_the_figure_of_a_demo_study() -> None:
    for trials in ([], small_study()[1]):
        assert "SYNTHETIC" in texts_of(make_study(synthetic=True, data_name="demo"), trials)


@pytest.mark.slow
def test_no_name_of_a_study_can_stop_the_figure() -> None:
    name = "$x^2 \\frac { 価 & <b> \x00\n\ud800"
    contents = contents_of(
        make_study(name=name, data_name="$"), [make_trial(0, 0.5, preset="$_{", description="$")]
    )
    ElementTree.fromstring(contents["front.svg"])
    assert json.loads(contents["report.json"])["study"] == name
    assert read_report(contents["report.json"]).study == name.replace("\ud800", "?")


@pytest.mark.slow
def test_labels_of_a_crowded_front_cover_neither_each_other_nor_leave_the_axes() -> None:
    study, trials = large_study()
    figure = figure_of(study, trials)
    figure.draw_without_rendering()  # only drawing settles where an annotation lies
    axes = figure.axes[0]
    numbers = {f"#{trial.number}" for trial in front_trials(trials)}
    labels = [text for text in axes.texts if text.get_text().split(" ")[0] in numbers]
    # The extent of an annotation includes the line to its point, so the text is measured alone.
    boxes = np.array([Text.get_window_extent(label).extents for label in labels])
    assert len(labels) == len(numbers)
    assert not np.triu(overlaps(boxes, boxes), 1).any()
    area = axes.get_window_extent()
    assert (boxes[:, :2] >= (area.x0, area.y0)).all()
    assert (boxes[:, 2:] <= (area.x1, area.y1)).all()


anchors = st.lists(st.tuples(st.floats(0, 300), st.floats(0, 200)), max_size=12)


AREA = (0, 0, 300, 200)
NOTHING = np.empty((0, 4))


@given(anchors)
@settings(deadline=None, max_examples=40)
def test_placed_names_never_overlap(xy: list[tuple[float, float]]) -> None:
    points = [NamedPoint(x, y, [(60.0, 20.0), (15.0, 8.0)]) for x, y in xy]
    placed = place_names(points, AREA, NOTHING, NOTHING)
    sizes = [
        (point.sizes[place.version], place) for point, place in zip(points, placed, strict=True) if place
    ]
    boxes = np.array(
        [
            (place.x - width / 2, place.y - height / 2, place.x + width / 2, place.y + height / 2)
            for (width, height), place in sizes
        ]
    ).reshape(-1, 4)
    assert not np.triu(overlaps(boxes, boxes), 1).any()
    assert (boxes >= -1e-9).all()


def test_a_name_takes_a_shorter_version_or_none_where_there_is_no_room() -> None:
    point = NamedPoint(50, 50, [(200.0, 20.0), (20.0, 10.0)])
    area = (0, 0, 100, 100)
    (short,) = place_names([point], area, NOTHING, NOTHING)
    assert short is not None
    assert short.version == 1
    everything = np.array([[0.0, 0.0, 100.0, 100.0]])
    assert place_names([point], area, everything, NOTHING) == [None]


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ([], ["10 k", "30 k", "100 k", "300 k", "1 M"]),
        ([9_000, 3_000_000], ["10 k", "30 k", "100 k", "300 k", "1 M", "3 M"]),
        ([97_512, 924_247], ["100 k", "200 k", "500 k", "1 M"]),
        ([500_000], ["400 k", "450 k", "500 k", "550 k", "600 k", "650 k"]),
    ],
)
def test_ticks_are_read_at_a_glance(parameters: list[int], words: list[str]) -> None:
    assert [parameter_words(tick) for tick in parameter_ticks(*parameter_limits(parameters))] == words


@given(st.lists(st.integers(1, 10**9), min_size=1, max_size=5))
def test_an_axis_has_between_two_and_twelve_ticks_within_it(parameters: list[int]) -> None:
    low, high = parameter_limits(parameters)
    ticks = parameter_ticks(low, high)
    assert low < min(parameters) <= max(parameters) < high
    assert 2 <= len(ticks) <= 12
    assert all(low <= tick <= high for tick in ticks)
    assert len({parameter_words(tick) for tick in ticks}) == len(ticks)


@pytest.mark.slow
@pytest.mark.usefixtures("page_alone")
def test_a_folder_that_is_a_file_is_one_line(tmp_path: Path) -> None:
    blocked = tmp_path / "report"
    blocked.write_text("")
    with pytest.raises(
        ReportError, match=r"cannot write the report to .*report: .*; choose another folder with --out"
    ):
        write_report(HeldStudy(*small_study()), "example", blocked)


@pytest.mark.slow
@pytest.mark.usefixtures("page_alone")
def test_a_report_that_cannot_be_finished_leaves_the_old_file_whole(tmp_path: Path) -> None:
    store = HeldStudy(*small_study())
    old = write_report(store, "example", tmp_path).report_json.read_bytes()
    (tmp_path / "front.svg").unlink()
    (tmp_path / "front.svg").mkdir()  # cannot be replaced by a file
    with pytest.raises(ReportError, match="cannot write the report to"):
        write_report(store, "example", tmp_path)
    assert (tmp_path / "report.json").read_bytes() == old
    assert not list(tmp_path.glob(".*"))


def test_names_of_studies_become_names_of_folders() -> None:
    assert default_folder("ptb-xl_1.0.3") == Path("runs/reports/ptb-xl_1.0.3")
    folders = {
        default_folder(name) for name in ("a/b", "a-b", "a b", "../a-b", "..", "", "ä", "x" * 300, "x" * 301)
    }
    assert len(folders) == 9
    for folder in folders:
        assert folder.parent == Path("runs/reports")
        assert folder.name not in {"", ".", ".."}
        assert len(folder.name) <= 100


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("page_alone")
def test_the_page_of_ten_thousand_trials_stays_small(tmp_path: Path) -> None:
    """How long it takes is measured by `benchmarks/scaling/scaling.py`."""
    files = write_report(HeldStudy(*large_study(10_000)), "example", tmp_path)
    assert files.paths[0].stat().st_size < 15e6


BLOCKED = """
import sys
class Blocked:
    def find_spec(self, name, *_):
        if name in {"torch", "wfdb", "matplotlib.pyplot", "search"}:
            raise ImportError(name)
sys.meta_path.insert(0, Blocked())
from pathlib import Path
import pytest
from report_records import HeldStudy, small_study, write_page_alone
from reports.folder import FORMATS
from reports.report import write_report
from reports.status import front_table, status, status_view
patch = pytest.MonkeyPatch()
write_page_alone(patch)
patch.setattr("reports.folder.FORMATS", FORMATS)
store = HeldStudy(*small_study(), predicted=True)
files = write_report(store, "example", Path(sys.argv[1]))
assert files.paths[0].name == "index.html"
front_table(files.study, files.trials)
status_view(status(store, "example"))
"""


@pytest.mark.slow
def test_reports_need_neither_torch_nor_the_reader_nor_pyplot(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", "-c", BLOCKED, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert set(NAMES) < {path.name for path in tmp_path.iterdir()}


@pytest.fixture(scope="module")
def with_ensembles() -> tuple[Report, dict[str, bytes], EnsembleStudy]:
    """The small study with predictions, whose report has the ensembles of its trials, and these."""
    store = HeldStudy(*small_study(), predicted=True)
    built: list[EnsembleStudy] = []

    def build(candidates: Candidates, size: int) -> EnsembleStudy:
        assert size == DEFAULT_SIZE
        built.append(build_ensembles(candidates, size))
        return built[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("reports.folder.FORMATS", ("svg",))
        patch.setattr("reports.report.build_ensembles", build)
        contents = report_contents(gather(store, "example"), judged_ensembles(store, "example"))
    (ensembles,) = built
    return read_report(contents["report.json"]), contents, ensembles


@pytest.mark.slow
def test_ensembles_are_points_of_the_front_with_bars(
    with_ensembles: tuple[Report, dict[str, bytes], EnsembleStudy],
) -> None:
    report, contents, built = with_ensembles
    assert json.loads(contents["report.json"])["ensembles"] == ensemble_document(built)["ensembles"]
    drawn = [each for each in report.ensembles if len(each.members) > 1]
    assert drawn
    front, below = (chart for chart in charts(report) if chart.key in {"front", "ensembles"})
    (points,) = (series for series in front.series if series.symbols == "cross")
    assert list(points.x) == [each.parameters for each in drawn]
    assert list(zip(points.low, points.y, points.high, strict=True)) == [
        (each.interval[0], each.macro_auprc, each.interval[1]) for each in drawn
    ]
    # Each is above its members, which have the bars that they have on the front.
    members, nested, in_sample = below.series
    assert list(nested.y) == list(in_sample.y)
    trials = {trial.trial: trial for trial in report.trials}
    spans = {each.trial: each.interval for each in report.close}
    places = iter(zip(members.y, members.x, members.low, members.high, strict=True))
    for row, each in zip(nested.y, drawn, strict=True):
        assert row is not None
        assert below.categories[int(row)] == f"{each.name} ({len(each.members)} trials)"
        for number, member in enumerate(each.members, start=1):
            span = spans[member.trial]
            assert span is not None
            assert next(places) == (row + number, trials[member.trial].macro_auprc, span.low, span.high)
            assert below.categories[int(row) + number].startswith(f"trial {member.trial}, weight ")
    page = contents["index.html"].decode()
    assert "Crosses mark ensembles" in page
    assert "in each fold, with members and weights chosen on the other folds" in page
    assert "ensembles.svg" in contents


@pytest.mark.slow
def test_the_front_with_ensembles_is_drawn_where_one_is_on_it(
    with_ensembles: tuple[Report, dict[str, bytes], EnsembleStudy],
) -> None:
    report, *_ = with_ensembles
    better = replace(
        next(each for each in report.ensembles if each.on_front is not None),
        score=0.9,
        parameters=200_000,
        cost=200_000,
        on_front=True,
    )
    (chart, *_) = charts(replace(report, ensembles=[better]))
    (line,) = (series for series in chart.series if series.name == "front of trials and ensembles")
    smallest = report.trials[3]
    assert list(zip(line.x, line.y, strict=True)) == [
        (smallest.parameters, smallest.macro_auprc),
        (200_000, 0.9),
        (924_247, 0.9),
    ]
    (chart, *_) = charts(replace(report, ensembles=[replace(better, on_front=False)]))
    assert "front of trials and ensembles" not in {series.name for series in chart.series}


def test_a_study_without_ensembles_says_why(written: ReportFiles) -> None:
    report = read_report(written.report_json.read_bytes())
    assert report.ensembles == []
    assert report.methods["ensembles"].startswith("There is no ensemble: study example has no two trials")
    page = (written.folder / "index.html").read_text(encoding="utf-8")
    assert "There is no ensemble: study example has no two trials for an ensemble" in page


@pytest.mark.slow
def test_legends_lie_within_their_figures(
    with_ensembles: tuple[Report, dict[str, bytes], EnsembleStudy],
) -> None:
    report, *_ = with_ensembles
    for chart in charts(report):
        figure = still_figure(chart)
        figure.draw_without_rendering()
        for legend in figure.legends:
            box = legend.get_window_extent()
            assert box.x0 >= 0, chart.key
            assert box.x1 <= figure.bbox.width, chart.key
