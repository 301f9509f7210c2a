"""The page, its schema, and the tables for papers; in a browser as its readers see it."""

import csv
import functools
import io
import json
import math
import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import jsonschema
import matplotlib as mpl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_records import (
    HeldStudy,
    failed_trial,
    large_study,
    make_study,
    make_trial,
    pruned_trial,
    small_study,
    write_page_alone,
)

import space
from reports.cells import tex_table, tex_text
from reports.csv_and_latex import effects_csv, front_csv, front_tex, metrics_tex
from reports.document import report_document
from reports.evidence import N_CLOSE, gather
from reports.figures.charts import Chart, Series
from reports.figures.gallery import charts
from reports.figures.interactive import plotly_figure
from reports.figures.still import set_style, still_figure
from reports.findings.compute import hypervolume_history, race_ledger
from reports.page.page import page
from reports.published import ANCHORS
from reports.report import write_report
from reports.schema import Layer, Layers, Report, json_schema, read_report, report_text, to_json
from search.models.costs import count_parameters
from storage.errors import StorageError
from storage.records import StudyRecord, TrialRecord

SCHEMA = json_schema()
OLD_REPORT = Path(__file__).parents[2] / "assets" / "report-1.json"
"""Written by the first version, from `small_study()` with predictions of 200 records a fold."""
NASTY = "</script><script>alert(1)</script> & <b>'\"{{ 7 * 7 }}"
HOSTILE = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<a href='javascript:alert(1)'>click</a>",
    r"$\input{x}$ & % # _ ^ ~ {}",
    "%{x} <br> </title></style></svg>]]>",
    "_legend",
)
"""Names that mean something to HTML, to plotly, to LaTeX, to SVG or to matplotlib."""
STUDIES: dict[str, tuple[StudyRecord, list[TrialRecord]]] = {
    "small": small_study(),
    "empty": (make_study(), []),
    "one": (make_study(), [make_trial(0, 0.5)]),
    "pruned": (make_study(), [pruned_trial(0, [0.3, 0.2]), pruned_trial(1, [])]),
    "failed": (make_study(), [failed_trial(0)]),
    "night": large_study(30),
}


@pytest.fixture(scope="module", autouse=True)
def _page_alone() -> Iterator[None]:
    """As `page_alone`, for what the tests of this module share."""
    with pytest.MonkeyPatch.context() as patch:
        write_page_alone(patch)
        yield


@functools.cache
def report_of_study(name: str) -> Report:
    """The report of one of `STUDIES`, for tests that only read it."""
    return report_of(*STUDIES[name])


def report_of(study: StudyRecord, trials: list[TrialRecord], *, predicted: bool = True) -> Report:
    """The report as its readers get it: by way of its text."""
    store = HeldStudy(study, trials, predicted=predicted)
    return read_report(report_text(report_document(gather(store, study.name), n_resamples=60)))


def test_published_results_are_there_once_with_what_is_known_of_them() -> None:
    assert len({(each.name, each.tier, each.source) for each in ANCHORS}) == len(ANCHORS)
    for each in ANCHORS:
        scores = [score for score in (each.macro_auprc, each.macro_auroc) if score is not None]
        assert scores
        assert all(0 < score < 1 for score in scores)
    # Parameters of the benchmark's models are those that they have here, with as many outputs as classes.
    outputs = {"superclass": 5, "subclass": 23, "all": 71}
    for name in ("fcn_wang", "resnet1d_wang", "inception1d", "xresnet1d101 (trained on the tier)"):
        of_tiers = {each.tier: each.parameters for each in ANCHORS if each.name == name}
        preset = name.partition(" ")[0].replace("_", "-")
        for tier, parameters in of_tiers.items():
            assert parameters == count_parameters(space.preset(preset, tier), outputs[tier])
        assert set(of_tiers) == set(outputs)


@pytest.mark.slow
def test_a_published_result_without_parameters_is_in_the_table_and_not_in_the_figure() -> None:
    report = report_of_study("small")
    unknown = replace(ANCHORS[0], name="Unknown", parameters=None, tier=report.target)
    text = page_text(replace(report, anchors=[unknown]))
    assert '<th scope="row">Unknown</th><td>–</td>' in text
    (front, *_) = charts(replace(report, anchors=[unknown]))
    assert not any("external" in series.name for series in front.series)


@pytest.mark.slow
@pytest.mark.parametrize("name", STUDIES)
def test_every_document_keeps_to_the_schema(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    for report in (report_of_study(name), report_of(*STUDIES[name], predicted=False)):
        jsonschema.validate(to_json(report), SCHEMA)
        assert read_report(report_text(report)) == report


def test_the_schema_describes_every_field() -> None:
    parts = {"report": SCHEMA, **SCHEMA["$defs"]}
    assert len(parts) > 20
    for name, part in parts.items():
        assert part["description"], name
        for field, value in part["properties"].items():
            assert value.get("description") or "$ref" in value, f"{name}.{field}"


@pytest.mark.slow
def test_a_document_of_another_shape_breaks_the_schema() -> None:
    document = to_json(report_of_study("small"))
    for path, value in (
        (("trials", 0, "parameters"), "many"),
        (("close", 0, "interval", "low"), None),
        (("comparisons", 0, "kind"), "a friend"),
        (("schema",), "something else"),
    ):
        changed = json.loads(json.dumps(document))
        place = changed
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = value
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(changed, SCHEMA)
        with pytest.raises(ValueError, match=str(path[-1])):
            read_report(json.dumps(changed))


def test_a_report_of_the_first_version_is_read_and_written_as_it_was() -> None:
    text = OLD_REPORT.read_text(encoding="utf-8")
    report = read_report(text)
    assert (report.study, report.front, len(report.trials)) == ("example", [3, 0, 2], 8)
    document, old = json.loads(report_text(report)), json.loads(text)
    jsonschema.validate(document, SCHEMA)
    added = list(later_fields(document, old))
    assert {"left_out", "specificity", "evaluations"} <= {name for name, _ in added}
    # Of every study before there was a choice.
    before = {("cost", "parameters"), ("objective", "macro-auprc"), ("n_trainings", 1)}
    assert before <= {each for each in added if isinstance(each[1], (str, int))}
    rest = [value for name, value in added if (name, value) not in [*before]]
    assert all(value in (None, 0, [], {}) for value in rest), "a later field has no empty default"


def later_fields(new: Any, old: Any) -> Iterator[tuple[str, Any]]:
    """Fields, at any depth, that the new document has and the old one has not; all others are the same."""
    if isinstance(old, dict):
        assert old.keys() <= new.keys()
        for name, value in new.items():
            if name in old:
                yield from later_fields(value, old[name])
            else:
                yield name, value
    elif isinstance(old, list):
        for mine, theirs in zip(new, old, strict=True):
            yield from later_fields(mine, theirs)
    else:
        assert new == old


@pytest.mark.slow
def test_a_field_that_a_later_version_adds_is_no_obstacle() -> None:
    document = to_json(report_of_study("small"))
    report = read_report(json.dumps({**document, "later": 1}))
    assert to_json(report) == document


@pytest.mark.slow
def test_intervals_hold_the_scores_of_the_trials() -> None:
    report = report_of_study("night")
    scores = {trial.trial: trial.macro_auprc for trial in report.trials}
    assert report.close
    for each in report.close:
        assert each.interval.value == pytest.approx(scores[each.trial], abs=1e-9)
        assert each.interval.low < scores[each.trial] < each.interval.high
        assert 0 <= each.front_share <= 1
    assert "30 patients (with 300 records)" in report.methods["intervals"]
    for each in report.comparisons:
        difference = scores[each.trial] - scores[each.other]
        assert each.difference.value == pytest.approx(difference, abs=1e-9)
        assert each.p_adjusted >= each.p - 1e-9


def test_lost_predictions_cost_the_intervals_and_nothing_else() -> None:
    class Lost(HeldStudy):
        def open_reader(self, artifact_id: str) -> io.BytesIO:
            raise FileNotFoundError(artifact_id)

    store = Lost(*small_study(), predicted=True)
    report = report_document(gather(store, "example"))
    assert all(each.interval is None for each in report.close)
    assert "is missing" in report.methods["intervals"]
    assert "is not known without out-of-fold predictions" in report.verdict[1]
    with pytest.raises(StorageError):
        raise StorageError("the reason why this is caught")


def test_few_trials_are_looked_at_closely_however_long_the_front() -> None:
    trials = [make_trial(n, 0.3 + 0.001 * n, 1000 + n) for n in range(60)]
    close = {each.trial for each in report_of(make_study(), trials, predicted=False).close}
    assert len(close) == N_CLOSE
    assert 59 in close  # the best is among them


def test_race_ledger_by_hand() -> None:
    """Thirty fold-epochs a trial (5 folds, 6 epochs); one pruned after 12 saves 18 of 60."""
    trials = [make_trial(0, 0.5), pruned_trial(1, [0.3, 0.3], n_epochs_trained=12, seconds=24.0)]
    ledger = race_ledger(make_study(), trials)
    assert ledger.fold_epochs_of_a_trial == 30
    assert ledger.n_fold_epochs_saved == 18
    assert ledger.share_saved == pytest.approx(18 / 60)
    assert ledger.seconds_saved == pytest.approx(36.0)
    assert race_ledger(make_study(), []).share_saved is None


def test_hypervolume_history_by_hand() -> None:
    """Corner at 10 M: .4 over two decades from 100 k, then .5 over the last one from 1 M adds .1."""
    trials = [make_trial(0, 0.4, 100_000), make_trial(1, 0.3, 200_000), make_trial(2, 0.5, 1_000_000)]
    history = hypervolume_history(trials)
    assert history.reference.parameters == 10_000_000
    assert [point.trial for point in history.points] == [None, 0, 2, None]
    assert [point.n_fold_epochs for point in history.points] == [0, 30, 90, 90]
    assert [point.hypervolume for point in history.points] == pytest.approx([0, 0.8, 0.9, 0.9])


def test_a_long_hypervolume_history_is_thinned_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reports.findings.compute.N_POINTS", 5)
    trials = [make_trial(number, 0.1 + number / 100, 100_000) for number in range(20)]
    points = hypervolume_history(trials).points
    assert [point.trial for point in points] == [None, 4, 9, 15, None]


@pytest.mark.slow
def test_published_results_belong_to_ptb_xl_alone() -> None:
    names = {anchor.name for anchor in report_of_study("small").anchors}
    assert {"CNN-BiLSTM", "xresnet1d101", "inception1d"} <= names
    study, trials = small_study()
    for changes in ({"data_name": "demo", "synthetic": True}, {"data_name": "sph"}, {"target": "rhythm"}):
        other = make_study(tier_classes={**study.tier_classes, "rhythm": ("A",)}, **changes)
        assert report_of(other, trials, predicted=False).anchors == []


@pytest.mark.slow
@pytest.mark.parametrize("name", STUDIES)
def test_figures_are_what_plotly_takes(name: str) -> None:
    from plotly.graph_objects import Figure

    for chart in charts(report_of_study(name)):
        Figure(plotly_figure(chart))  # raises on a property that does not exist
        assert chart.alt


def test_a_single_point_has_scores_around_it() -> None:
    def heights(*y: float) -> object:
        series = Series(name="", x=[10.0] * len(y), y=y)
        chart = Chart(key="k", title="t", alt="a", x_label="x", y_label="y", series=[series])
        return plotly_figure(chart)["layout"]["yaxis"].get("range")

    assert heights(0.3, 0.3) == pytest.approx([0.25, 0.35])
    assert heights(0.3, 0.4) is None


def test_what_is_counted_has_ticks_at_whole_numbers() -> None:
    def axis(*x: float) -> dict[str, object]:
        series = Series(name="", x=x, y=[0.5] * len(x))
        chart = Chart(
            key="k", title="t", alt="a", x_label="epoch", y_label="y", series=[series], whole_x=True
        )
        drawn = still_figure(chart).axes[0].get_xticks()
        assert (drawn == drawn.round()).all()
        found: dict[str, object] = plotly_figure(chart)["layout"]["xaxis"]
        return found

    assert axis(1, 2)["dtick"] == 1
    assert "dtick" not in axis(1, 30)  # plotly's own steps are whole there


def test_a_tier_that_one_trial_reaches_is_a_row_and_no_figure() -> None:
    study, trials = small_study()
    first, *others = [replace(trial, tier_scores={study.target: trial.score}) for trial in trials]
    assert first.score is not None
    alone = replace(first, tier_scores={study.target: first.score, "rhythm": 0.321})
    classes = {**study.tier_classes, "rhythm": ("A", "B")}
    report = report_of(replace(study, tier_classes=classes), [alone, *others], predicted=False)
    assert "front-rhythm" not in {chart.key for chart in charts(report)}
    row = re.search(r'<tr><th scope="row">rhythm</th>.*?</tr>', page_text(report))
    assert row is not None
    cells = re.findall("<td>(.*?)</td>", row[0])
    assert [cells[0], *cells[2:6]] == ["2", "1", "1", str(alone.number), ".321"]


@pytest.mark.slow
def test_all_trials_are_in_a_table_the_best_first() -> None:
    report = report_of(*small_study(), predicted=False)
    text = page_text(report).partition("Every trial, the best first")[2].partition("</table>")[0]
    listed = [int(number) for number in re.findall(r'<th scope="row">(\d+)</th>', text)]
    scores = {trial.trial: trial.score for trial in report.trials}
    assert sorted(listed) == sorted(scores)
    scored = [score for number in listed if (score := scores[number]) is not None]
    assert scored == sorted(scored, reverse=True)
    assert [scores[number] for number in listed[len(scored) :]] == [None] * (len(listed) - len(scored))


class Page(HTMLParser):
    """Elements of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.mark.slow
@pytest.mark.parametrize("name", [*(name for name in STUDIES if name != "night"), "synthetic night"])
def test_page_is_whole_and_points_nowhere(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    if name in STUDIES:
        path = write_report(HeldStudy(*STUDIES[name], predicted=True), "example", tmp_path).paths[0]
    else:
        path = request.getfixturevalue("synthetic_page")
    page = Page(path.read_text(encoding="utf-8"))
    ids = [attributes["id"] for _, attributes in page.tags if attributes.get("id")]
    assert len(ids) == len(set(ids))
    for link in page.all("a"):
        target = str(link["href"])
        assert target.removeprefix("#") in ids or (path.parent / target).is_file()
    for tag, attributes in page.tags:
        assert tag not in {"img", "link", "iframe"}
        assert not attributes.get("src")
    assert len(page.all("main")) == len(page.all("h1")) == 1
    assert len(page.all("caption")) == len(page.all("table"))
    for attributes in page.all("div"):
        if attributes.get("role") in {"img", "region"}:
            assert attributes.get("aria-label")


@pytest.mark.slow
def test_foreign_texts_are_texts(tmp_path: Path) -> None:
    study = make_study(name=NASTY, data_name=NASTY, settings={NASTY: NASTY})
    trials = [
        make_trial(0, 0.5, description=NASTY, preset=NASTY),
        make_trial(1, 0.6, 900_000, description=NASTY),
        failed_trial(2, message=NASTY, description=NASTY),
    ]
    files = write_report(HeldStudy(study, trials, predicted=True), NASTY, tmp_path)
    text = files.paths[0].read_text(encoding="utf-8")
    assert len(Page(text).all("script")) == 3
    assert "alert(1)</script>" not in text
    assert "{{ 7 * 7 }}" in text  # shown, not computed
    figures = re.search(r'id="figures">(.*?)</script>', text, flags=re.DOTALL)
    assert figures is not None
    hover = json.dumps(json.loads(figures[1]))
    assert "<b>" not in hover  # plotly would take it for bold


def hostile_study(name: str = "".join(HOSTILE)) -> HeldStudy:
    """Everything that has a name has one of these."""
    names = (*HOSTILE, *(f"{name} {number}" for number in range(3) for name in HOSTILE))[:23]
    study, trials = large_study(12, name=name, data_name=HOSTILE[0], data_version=HOSTILE[3])
    study = replace(
        study, tier_classes={"subclass": names, HOSTILE[1]: names[:3]}, settings={HOSTILE[0]: HOSTILE[1]}
    )
    trials = [
        replace(
            trial,
            description=HOSTILE[trial.number % len(HOSTILE)],
            preset=HOSTILE[trial.number % len(HOSTILE)],
            label_tier=HOSTILE[trial.number % 2],
            architecture={**trial.architecture, "label_tier": HOSTILE[trial.number % 2], "loss": HOSTILE[3]},
        )
        for trial in trials
    ]
    return HeldStudy(study, [*trials, failed_trial(12, message=HOSTILE[1])], predicted=True)


PRINTED_BY_LATEX = re.compile(
    r"(?:\\text(?:backslash|asciitilde|asciicircum|less|greater)\{\}|\\[&%$#_{}]|\$\\(?:rightarrow|leq|geq|pm|times|mu)\$"
    r"|\$-\$|\{[\[*]\}|[^\\&%$#_{}~^<>\n])*"
)
"""Nothing in it is a command, a comment, a formula or a new cell to LaTeX, but for what `tex_text` writes."""


def test_figures_draw_every_name() -> None:
    """Matplotlib would take `$\\input{x}$` for a formula, and fail."""
    series = [Series(name=name, x=(1.0, 2.0), y=(0.1, 0.2), mode="line") for name in HOSTILE]
    chart = Chart(key="c", title=HOSTILE[3], alt="", x_label="$x$", y_label=r"$\y$", series=series)
    with mpl.rc_context():
        set_style()
        figure = still_figure(chart)
        figure.savefig(io.BytesIO(), format="svg")
    shown = [text.get_text() for text in figure.legends[0].get_texts()]
    assert shown == [name for name in HOSTILE if not name.startswith("_")]


@given(
    st.text() | st.lists(st.sampled_from([*HOSTILE, "\\", "{", "}", "$", "\n\n", "\0", "^^M"])).map("".join)
)
def test_latex_prints_every_text(text: str) -> None:
    assert PRINTED_BY_LATEX.fullmatch(tex_text(text))


def test_latex_prints_letters_of_pdflatex_only_and_no_row_begins_as_an_argument() -> None:
    assert tex_text("é ł Ő ß ı, 心 λ Ж ع ą đ") == "é ł Ő ß ı, ? ? ? ? ? ?"
    table = tex_table(("class",), [(tex_text("[AF]"),), (tex_text("*AF"),)], alignment="l", caption="[a]")
    assert [line for line in table.splitlines() if "AF" in line] == [r"{[}AF] \\", r"{*}AF \\"]


@pytest.mark.slow
def test_latex_tables_have_no_command_of_a_name() -> None:
    store = hostile_study()
    report = report_document(gather(store, "".join(HOSTILE)), n_resamples=60)
    for text in (front_tex(report), metrics_tex(report)):
        assert r"\input" not in text
        (caption,) = re.findall(r"^\\caption\{(.*)\}$", text, flags=re.MULTILINE)
        assert PRINTED_BY_LATEX.fullmatch(caption)
        rows = text.partition(r"\midrule")[2].partition(r"\bottomrule")[0].strip().splitlines()
        assert rows
        for row in rows:
            cells = re.split(r"(?<!\\)&", row.removesuffix(r" \\"))
            assert len(cells) == len(re.search(r"tabular\}\{(\w+)\}", text)[1])  # type: ignore[index]
            for cell in cells:
                assert PRINTED_BY_LATEX.fullmatch(re.sub(r"\\textbf\{(.*)\}", r"\1", cell).replace(r"\,", ""))


@pytest.mark.slow
def test_a_report_of_hostile_names_stays_in_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Figures have names of their own, and drawing them is most of the time that a report takes.
    monkeypatch.setattr(
        "reports.report.figure_files",
        lambda study, shown: ((f"{chart.key}.svg", b"<svg></svg>") for chart in shown),
    )
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    for name in ("../../x", str(tmp_path / "absolute"), "..", "x" * 5_000, "a\nb\0c", "con", "~root", "-rf"):
        files = write_report(HeldStudy(make_study(name=name), []), name)
        assert (work / "runs/reports") == files.folder.resolve().parent
    assert [path.name for path in tmp_path.iterdir()] == ["work"]
    assert [path.name for path in work.iterdir()] == ["runs"]


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


@pytest.mark.slow
def test_csv_for_papers() -> None:
    report = report_of_study("night")
    front = rows_of(front_csv(report))
    assert [int(row["trial"]) for row in front] == report.front
    assert all(float(row["low"]) < float(row["macro_auprc"]) < float(row["high"]) for row in front)
    assert all(json.loads(row["architecture"])["head_width"] == 512 for row in front)
    effects = rows_of(effects_csv(report))
    assert len(effects) == sum(len(axis.effects) for axis in report.axis_effects)
    assert {row["axis"] for row in effects} >= {"depth", "cell", "gate"}


@pytest.mark.slow
def test_latex_for_papers() -> None:
    report = report_of_study("small")
    front, metrics = front_tex(report), metrics_tex(report)
    assert front.count(r"\\") == 1 + 3
    heading = next(line for line in metrics.splitlines() if line.startswith("model"))
    assert heading.count("&") == 11  # the eleven metrics of the table it follows
    assert metrics.count(r"\textbf{") >= 11
    for text in (front, metrics):
        rows = [line for line in text.splitlines() if line.endswith(r"\\")]
        assert len({line.count("&") for line in rows}) == 1
        assert text.isascii()
    assert "SYNTHETIC" in front_tex(report_of(make_study(synthetic=True), [make_trial(0, 0.5)]))
    assert tex_text("a_b & 50 % {x} \\ ^ ~ #1 $→") == (
        r"a\_b \& 50 \% \{x\} \textbackslash{} \textasciicircum{} \textasciitilde{} \#1 \$$\rightarrow$"
    )


# ---------------------------------------------------------------------------------------------------------
# In a browser


@pytest.fixture(scope="module")
def synthetic_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of thirty trials on demo records."""
    study, trials = large_study(30, synthetic=True, data_name="demo")
    folder = tmp_path_factory.mktemp("synthetic")
    return write_report(HeldStudy(study, trials, predicted=True), "example", folder).paths[0]


@pytest.fixture(scope="module")
def hostile_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of `hostile_study`."""
    return write_report(hostile_study(), "".join(HOSTILE), tmp_path_factory.mktemp("hostile")).paths[0]


SETTLED = "Promise.all(bar.getAnimations({subtree: true}).map(each => each.finished))"
"""Script: every transition of the tool bar is over."""


@pytest.mark.slow
@pytest.mark.needs_browser
@pytest.mark.parametrize(
    "options",
    [
        {"viewport": {"width": 1280, "height": 900}},
        {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark"},
        {"viewport": {"width": 1280, "height": 900}, "java_script_enabled": False},
    ],
)
def test_page_in_a_browser(options: dict[str, Any], browser: Any, synthetic_page: Path) -> None:
    complaints: list[str] = []
    requests: list[str] = []
    page = browser.new_page(**options)
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(synthetic_page.as_uri())
    scripted = options.get("java_script_enabled", True)
    plots, stills = page.locator(".plot"), page.locator(".still")
    assert plots.count() == stills.count() >= 6
    assert plots.first.is_visible() is scripted
    assert stills.first.is_visible() is not scripted
    assert page.locator(".watermark").is_visible()
    assert page.locator("#front table tbody tr").count() >= 3
    assert page.locator("#axes dd").first.inner_text()
    page.get_by_role("link", name="Axes").click()
    page.locator("#axes summary").click()
    assert page.locator("#axes table").is_visible()
    width, _ = page.evaluate("[document.documentElement.scrollWidth, 0]")
    assert width <= options["viewport"]["width"]  # nothing sticks out to the side
    if scripted:
        points = page.locator("#figure-front .point")
        complete = [trial for trial in large_study(30)[1] if trial.state == "complete"]
        assert points.count() >= len(complete)
        page.locator("#figure-front .scatterlayer .trace").last.wait_for()
        page.evaluate(
            "document.querySelector('#figure-front .plot').emit('plotly_click', "
            "{points: [{text: 'trial 7<br>in words'}]})"
        )
        assert page.locator("#figure-front .picked").inner_text() == "trial 7; in words"
        _check_tool_bar(page)
        page.emulate_media(media="print")
        assert stills.first.is_visible()
        assert not plots.first.is_visible()
    page.close()
    assert complaints == []
    assert [url for url in requests if not url.startswith(("file:", "data:", "blob:"))] == []


def _check_tool_bar(page: Any) -> None:
    """It appears on hover, and above the data."""
    plot, bar = page.locator("#figure-front .plot"), page.locator("#figure-front .modebar")
    opacity = "bar => getComputedStyle(bar).opacity"
    page.mouse.move(0, 0)
    assert bar.evaluate(f"async bar => {{ await {SETTLED}; return ({opacity})(bar) }}") == "0"
    plot.hover()
    assert bar.evaluate(f"async bar => {{ await {SETTLED}; return ({opacity})(bar) }}") == "1"
    box, data = bar.bounding_box(), page.locator("#figure-front .nsewdrag").first.bounding_box()
    assert box["y"] + box["height"] <= data["y"]
    page.mouse.move(0, 0)


@pytest.mark.slow
@pytest.mark.needs_browser
@pytest.mark.parametrize("scripted", [True, False])
def test_no_name_runs_in_a_browser(browser: Any, hostile_page: Path, scripted: bool) -> None:
    complaints: list[str] = []
    page = browser.new_page(java_script_enabled=scripted)
    page.on("dialog", lambda dialog: (complaints.append("a script ran"), dialog.dismiss()))
    page.on("console", lambda message: complaints.append(message.text))  # a blocked request is told there
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(hostile_page.as_uri())
    assert page.locator("h1").inner_text() == "".join(HOSTILE)
    assert page.locator("img, iframe, object, a[href^=javascript]").count() == 0
    assert page.locator("script").count() == 3
    if scripted:
        levels = page.locator("#figure-axis-effects .ytick").all_text_contents()
        assert any(HOSTILE[0] in level for level in levels)
        for text in told_of_points(page, "classes"):
            assert all(any(each in line for line in text) for each in HOSTILE if "<br>" not in each)
            assert not any("&lt;" in line for line in text)
    page.close()
    assert complaints == []


def told_of_points(page: Any, figure: str) -> tuple[list[str], list[str]]:
    """Texts beside each point of plotly, and texts of the page below the figure when a point is chosen."""
    page.locator(f"#figure-{figure} .point").last.wait_for()
    beside, below = page.evaluate(POINT_AT, figure)
    return beside, below


POINT_AT = """async (figure) => {
  const place = document.getElementById("figure-" + figure);
  const plot = place.querySelector(".plot");
  const [beside, below] = [[], []];
  for (const [curveNumber, trace] of plot.data.entries()) {
    for (const pointNumber of trace.text ? trace.x.keys() : []) {
      // plotly shows a point at most every 50 ms: what is still there of the point before is not this one's
      const shown = () => place.querySelectorAll(".hoverlayer .hovertext");
      const until = async (done) => {
        for (let waited = 0; waited < 10000 && !done(); waited += 5) {
          await new Promise((resolve) => setTimeout(resolve, 5));
        }
      };
      Plotly.Fx.unhover(plot);
      await until(() => !shown().length);
      Plotly.Fx.hover(plot, [{ curveNumber, pointNumber }]);
      await until(() => shown().length);
      for (const text of shown()) beside.push(text.textContent);
      plot.emit("plotly_click", { points: [{ text: trace.text[pointNumber] }] });
      below.push(place.querySelector(".picked").textContent);
    }
  }
  return [beside, below];
}"""


def page_text(report: Report) -> str:
    drawn = charts(report)
    return page(report, drawn, {chart.key: b"<svg></svg>" for chart in drawn})


def test_hypervolume_within_a_region_of_interest_by_hand() -> None:
    """From .35, 200 k parameters as good as fewer: .05 over log10(50) decades, then .1 more over one."""
    trials = [make_trial(0, 0.4, 100_000), make_trial(1, 0.3, 200_000), make_trial(2, 0.5, 1_000_000)]
    history = hypervolume_history(trials, at_least=0.35, smallest=200_000)
    last = 0.05 * math.log10(50) + 0.1
    assert history.points[-1].hypervolume == pytest.approx(last)
    assert history.reference.macro_auprc == 0.35


@pytest.mark.slow
def test_the_report_marks_what_the_study_is_limited_to() -> None:
    study, trials = small_study()
    limits = {"max": {"parameters": 250_000, "memory": 262_144}, "operators": ["conv", "pool"]}
    report = report_of(replace(study, settings={**study.settings, **limits}), trials)
    (front, *_) = charts(report)
    limit = next(series for series in front.series if series.name == "at most 250,000 parameters")
    assert list(limit.x) == [250_000, 250_000]
    text = re.sub(r"\s+", " ", page_text(report))
    said = "at most 250,000 parameters, 256 KiB of memory; operators conv, pool: nothing beyond was tried."
    assert f"The study was limited to {said}" in text


@pytest.mark.slow
def test_a_report_is_in_words_and_units_of_what_its_study_minimises() -> None:
    """The smallest model of `small_study` by parameters is made the slowest: the front turns around."""
    study, trials = small_study()
    order = sorted((trial.parameters for trial in trials), reverse=True)
    of_latency = [
        replace(
            trial,
            cost_name="latency",
            costs={"latency": 1500 * (1 + order.index(trial.parameters)), "latency-p99": 90_000},
        )
        for trial in trials
    ]
    model = {"machine": "a clock", "n_measured": 40, "error": 0.07, "error_p90": 0.15}
    settings = {**study.settings, "cost": "latency", "latency_model": model}
    report = report_of(replace(study, settings=settings), of_latency)
    numbers = {trial.number: trial for trial in of_latency}
    assert report.cost == "latency"
    assert [numbers[number].cost for number in report.front] == sorted(
        numbers[number].cost for number in report.front
    )
    assert report.front != report_of_study("small").front
    (chart, *_) = charts(report)
    assert chart.x_label == "latency of one record on one CPU thread (logarithmic)"
    assert [chart.tick_words(x) for x in (300, 10_000, 2e6)] == ["300 µs", "10 ms", "2 s"]
    assert not any("external" in series.name for series in chart.series)
    assert report.hypervolume.reference.parameters is None
    assert report.hypervolume.reference.cost == 100_000
    text = re.sub(r"\s+", " ", page_text(report))
    assert "from low latency to high" in text
    assert "<td>90 ms</td>" in text
    assert "mean error 7 %, nine of ten within 15 %" in text
    assert "of latency, cross-validated macro-AUPRC" in " ".join(report.verdict)
    assert "trial,architecture,latency" not in front_csv(report)
    assert front_csv(report).splitlines()[1].endswith(",latency,macro_auprc")
    assert " ms & " in front_tex(report)


@pytest.mark.slow
def test_costs_of_members_of_the_front_are_in_its_table() -> None:
    study, trials = small_study()
    costs = {"parameters": 5, "macs": 93_716_224, "bytes": 20, "bytes-int8": 5, "memory": 384_000}
    report = report_of(study, [replace(trial, costs={**costs, "memory-int8": 96_000}) for trial in trials])
    text = page_text(report)
    assert '<th scope="col">activations</th>' in text
    assert "<td>93.7 M</td><td>20 B</td><td>375 KiB</td>" in text
    assert "Costs of front members and presets" in text
    assert "activations" not in page_text(report_of_study("small"))


@pytest.mark.slow
def test_members_of_the_front_are_drawn_layer_by_layer_and_throughput_has_a_column() -> None:
    study, trials = small_study()
    report = report_of(study, [replace(trial, costs={"throughput": 1234}) for trial in trials])
    text = page_text(report)
    assert 'id="architectures"' not in text
    assert '<th scope="col">records/s</th>' in text
    assert "<td>1,234</td>" in text
    assert "records/s" not in page_text(report_of_study("small"))
    layers = Layers(
        n_leads=12,
        n_samples=1000,
        layers=[
            Layer(
                part="backbone",
                layer="convolution 64 <15>",
                channels=64,
                samples=500,
                parameters=11_584,
                macs=5_760_000,
                live_values=44_000,
            ),
            Layer(
                part="backbone",
                layer="ReLU",
                channels=64,
                samples=500,
                parameters=0,
                macs=0,
                live_values=32_000,
            ),
            Layer(
                part="label_tier",
                layer="output",
                channels=5,
                samples=1,
                parameters=325,
                macs=320,
                live_values=69,
            ),
        ],
    )
    best = report.front[-1]
    close = [replace(each, layers=layers) if each.trial == best else each for each in report.close]
    drawn = page_text(replace(report, close=close)).partition('id="architectures"')[2]
    assert f"<summary>Trial {best}: " in drawn
    # One box for the convolution with its ReLU, and one for the output, beside that of the record.
    assert drawn.partition("</svg>")[0].count("<rect") == 1 + 3
    assert "convolution 64 &lt;15&gt;, ReLU</text>" in drawn
    assert "64 × 500 · 11,584 parameters</text>" in drawn
    assert "<td>5</td><td>325</td><td>320</td>" in drawn


@pytest.mark.slow
def test_pages_of_stress_tests_beside_it_are_linked() -> None:
    report = report_of_study("small")
    shown = charts(report)
    images = {chart.key: b"<svg></svg>" for chart in shown}
    linked = page(
        report, shown, images, stress={"stress.html": "the front", "stress-trial-3.html": "trial 3"}
    )
    assert '<a href="stress.html">the front</a>, <a href="stress-trial-3.html">trial 3</a>.' in linked
    assert "stress.html" not in page(report, shown, images)
