"""`python -m search export`: models of a study as folders that need nothing of this program."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
from numpy.typing import NDArray
from rich.console import Console

from reports.findings.estimates import estimate
from reports.findings.luck import expected_of_front, expected_words
from reports.findings.one_trial import SHOWN_POLICY, decisions_of, pooled_records
from reports.findings.operating_points import class_operating_points
from reports.findings.subgroups import subgroups
from reports.numbers import latency_words
from reports.schema import Estimate, Subgroup
from scores.bootstrap import Resampling, centred_interval
from scores.ranking import Floats
from scores.side_by_side import ResampledRecords
from scores.thresholds import choose_thresholds, decide, most_probable
from search.data.dataset import Development
from search.data.features.names import FEATURES
from search.data.labels.tiers import ORDINAL_TIERS, Hierarchy
from search.data.signals.filters import BAND_HZ, BASELINE_WINDOWS_S, HIGHEST_SHARE, ORDER
from search.errors import SearchError, UsageError
from search.export.card import Evidence, MacroScores, model_card
from search.export.folder import (
    CARD,
    EXAMPLE,
    FORMAT,
    GRAPH,
    GRAPH_INT8,
    WEIGHTS,
    Feature,
    Labels,
    Member,
    Preprocessing,
    Row,
    SignalFilter,
    write_document,
    write_novelty,
)
from search.export.graph import MICROVOLTS, features_width, make_graph
from search.export.int8 import Int8, quantise
from search.export.labels import Fold, TierMeaning, all_tiers, class_descriptions, projected
from search.export.records import (
    MOST_RECORDS,
    Answers,
    StudyRecords,
    ask,
    data_at_hand,
    find_novelty,
    largest_difference,
    noise,
    records_for,
)
from search.export.runtime import BATCH, check_agreement, feeds
from search.export.source import (
    Exported,
    ExportedMember,
    average_of_ensemble,
    average_of_folds,
    models_of_evaluation,
    trial_numbered,
    trials_of_front,
)
from search.export.untrained import throughput, time_graph
from search.export.weights import join_members
from search.study.ensembles import named_ensemble
from search.study.openings import model_identity, openings_for
from search.study.space_file import use_space_of
from search.training.device import processor_name
from search.watch.working import working
from space import FILTERS
from storage import Evaluation, SealedFoldOpeningRecord, Store, StudyRecord, open_store

N_CHECKED = 64
"""Records on which onnxruntime is compared with PyTorch."""
N_NOISE = 4
"""Signals of noise instead, where no record is at hand."""
N_RESAMPLES = 1_000


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportOptions:
    """The command line of `export`."""

    storage: str
    study: str | None = None
    trial: int | None = None
    front: bool = False
    ensemble: str | None = None
    evaluation: int | None = None
    out: Path
    data: str | None = None
    space: str | None = None
    """The space file of the study, if it has one."""
    int8: bool = False


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class WrittenFolder:
    """A folder that `export` wrote."""

    path: Path
    preprocessing: Preprocessing
    labels: Labels
    evidence: Evidence
    n_bytes: int
    """Size of model.onnx."""

    @property
    def int8(self) -> Int8 | None:
        """The quantised graph, if `--int8` was given."""
        return self.evidence.int8


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Written:
    """Result of `export`."""

    study: StudyRecord
    folders: tuple[WrittenFolder, ...]
    refused: tuple[str, ...]
    """Models of the front that could not be exported, a line for each."""


def export(options: ExportOptions, console: Console) -> Written:
    """Carry out `export`.

    Raises:
        SearchError: anything the user has to put right.
        storage.StorageError: the database or an artifact cannot be read.
    """
    named = (
        options.trial is not None,
        options.front,
        options.ensemble is not None,
        options.evaluation is not None,
    )
    if sum(named) != 1:
        raise UsageError("name what to export: --trial N, --front, --ensemble NAME or --evaluation ID")
    _check_empty(options.out)
    with open_store(options.storage, create=False) as store:
        evaluation = None if options.evaluation is None else store.evaluation(options.evaluation)
        study = _study(store, options.study, evaluation)
        use_space_of(study, options.space)
        with working(console, "Reading models and their scores"):
            found, refused = _named_models(store, study, evaluation, options)
    if not found:
        raise UsageError(refused[0])
    data, note = data_at_hand(study, options.data, console)
    if options.int8 and data is None:
        raise UsageError("--int8 is calibrated and measured on the records of the study: give --data DIR")
    folders = []
    for exported, openings in found:
        name = f"trial-{exported.provenance.trial}"
        path = options.out / name if options.front else options.out
        try:
            folders.append(
                _write(
                    path,
                    exported,
                    study,
                    data,
                    openings,
                    notes=[] if note is None else [note],
                    int8=options.int8,
                    console=console,
                )
            )
        except UsageError as error:
            if not options.front:
                raise
            refused.append(f"{exported.provenance.name}: {error}")
    return Written(study=study, folders=tuple(folders), refused=tuple(refused))


def _named_models(
    store: Store, study: StudyRecord, evaluation: Evaluation | None, options: ExportOptions
) -> tuple[list[tuple[Exported, list[SealedFoldOpeningRecord]]], list[str]]:
    """The models named, with the openings of the sealed fold for them, and why others of the front are not.

    Raises:
        UsageError: there is no such model, or it has not been kept.
    """
    if evaluation is not None:
        return [_with_openings(store, study, models_of_evaluation(store, study, evaluation))], []
    if options.ensemble is not None:
        ensemble = named_ensemble(store, study, options.ensemble)
        return [_with_openings(store, study, average_of_ensemble(store, study, ensemble), ensemble.name)], []
    trials = (
        trials_of_front(store, study)
        if options.trial is None
        else [trial_numbered(store, study, options.trial)]
    )
    found: list[tuple[Exported, list[SealedFoldOpeningRecord]]] = []
    refused: list[str] = []
    expected = expected_of_front(store, study.name)
    for trial in trials:
        try:
            words = expected_words(expected.get(trial.number))
            exported = replace(average_of_folds(store, study, trial), expected=words)
            found.append(_with_openings(store, study, exported))
        except UsageError as error:
            if not options.front:
                raise
            refused.append(str(error))
    return found, refused


def _with_openings(
    store: Store, study: StudyRecord, exported: Exported, ensemble: str | None = None
) -> tuple[Exported, list[SealedFoldOpeningRecord]]:
    model = model_identity(kept.architecture for kept in exported.kept)
    return exported, openings_for(store, study, model, ensemble)


def _study(store: Store, name: str | None, evaluation: Evaluation | None) -> StudyRecord:
    """The study named, that of an evaluation, or the one last touched.

    Raises:
        UsageError: the evaluation is of another study than the one named.
    """
    if evaluation is not None:
        if name not in (None, evaluation.study):
            raise UsageError(f"evaluation {evaluation.id} is of study {evaluation.study}, not {name}")
        name = evaluation.study
    return store.study_or_last(name)


def _row(study: StudyRecord) -> Row:
    """Unit of the rows of a study."""
    return "beat" if study.settings.get("unit") == "beat" else "record"


def _held_out_words(exported: Exported, row: Row) -> str:
    """Description of the held-out records or beats and of the members that predict them."""
    n = sum(len(part.predictions.ecg_id) for part in exported.held_out)
    n_trials = len(exported.held_out[0].members)
    if len(exported.held_out) > 1 and n_trials > 1:
        return (
            f"the {n:,} held-out {row}s of cross-validation, each predicted by the {n_trials} members, one "
            "of each trial, that were not trained on its fold. Members and weights were chosen on these "
            f"{row}s, so that scores are optimistic: `search ensemble` tells those of folds that were not "
            "chosen on"
        )
    if len(exported.held_out) > 1:
        return (
            f"the {n:,} held-out {row}s of cross-validation, each predicted by the one member that was not "
            "trained on its fold; the average of all members cannot be scored on them"
        )
    return f"the {n:,} validation {row}s, on which no member was trained, predicted by all together"


def _check_empty(out: Path) -> None:
    try:
        if out.is_dir() and any(out.iterdir()):
            raise UsageError(f"--out {out}: the folder is not empty; name a new one")
        if out.exists() and not out.is_dir():
            raise UsageError(f"--out {out}: a file of that name is there; name a new folder")
        above = next(folder for folder in (out, *out.absolute().parents) if folder.is_dir())
        with TemporaryDirectory(dir=above, prefix=".export-"):
            pass  # an unusable folder is reported before anything is computed
    except OSError as error:
        raise UsageError(f"--out {out}: cannot be written ({error.strerror})") from error


def _write(
    path: Path,
    exported: Exported,
    study: StudyRecord,
    data: Development | None,
    openings: Sequence[SealedFoldOpeningRecord],
    *,
    notes: Sequence[str],
    int8: bool,
    console: Console,
) -> WrittenFolder:
    """Make a folder, which appears whole or not at all."""
    with working(console, f"{exported.provenance.name}: comparing onnxruntime and PyTorch"):
        model = make_graph(exported.kept, exported.weights, name=exported.provenance.name)
        records = None if data is None else records_for(exported, data)
        checked = _check(model, exported, records)
    answers: Answers | None = None
    novelty = None
    notes = list(notes)
    if records is not None:
        rows = records.rows(MOST_RECORDS)
        answers = ask(model, exported, records, rows, console, label=exported.provenance.name)
        difference = largest_difference(exported, records, answers)
        checked += f" From the held-out predictions kept in training it differs by at most {difference:.1g}."
        with working(console, f"{exported.provenance.name}: threshold of novelty"):
            found = find_novelty(exported, records, answers)
        if isinstance(found, str):
            notes.append(found)
        else:
            novelty = found
    with working(console, f"{exported.provenance.name}: calibrating on held-out predictions"):
        labels = Labels(
            format=FORMAT,
            model=exported.provenance,
            tiers=all_tiers(
                _trained_on(exported, data), None if data is None else data.hierarchy, _folds(exported)
            ),
            novelty=None if novelty is None else novelty[0],
        )
    preprocessing = _preprocessing(exported, study)
    quantised = None
    if int8 and records is not None and answers is not None:
        quantised = quantise(model, exported, records, answers, console)
    with working(console, f"{exported.provenance.name}: measuring latency, intervals of the card"):
        evidence = _evidence(
            exported,
            study,
            data,
            openings,
            checked=checked,
            speed=_speed(model, exported, quantised, _row(study)),
            int8=quantised,
            notes=notes,
        )

    def fill(folder: Path) -> None:
        onnx.save(model, folder / GRAPH)
        if quantised is not None:
            (folder / GRAPH_INT8).write_bytes(quantised.content)
        (folder / WEIGHTS).write_bytes(join_members([member.content for member in exported.members]))
        write_document(folder, preprocessing)
        write_document(folder, labels)
        if novelty is not None:
            write_novelty(folder, novelty[1])
        (folder / CARD).write_text(model_card(preprocessing, labels, evidence), encoding="utf-8")
        shutil.copyfile(Path(__file__).with_name("example.py"), folder / EXAMPLE)

    _make_whole(path, fill)
    return WrittenFolder(
        path=path, preprocessing=preprocessing, labels=labels, evidence=evidence, n_bytes=model.ByteSize()
    )


def _make_whole(path: Path, fill: Callable[[Path], None]) -> None:
    """Fill a folder beside the one that is meant, and give it its name when all is there.

    Raises:
        SearchError: the folder cannot be written.
    """
    partial = path.parent / f".{path.name}.part"
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        fill(partial)
        if path.is_dir():
            path.rmdir()
        partial.rename(path)
    except OSError as error:
        raise SearchError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _check(model: onnx.ModelProto, exported: Exported, records: StudyRecords | None) -> str:
    """Compare onnxruntime with PyTorch; a sentence about it."""
    if records is None:
        x_NLT, f_NK = noise(exported, N_NOISE)
        what = f"{N_NOISE} signals of noise"
    else:
        rows = records.rows(N_CHECKED)
        x_NLT, f_NK = records.x_NLT[rows], records.features(rows)
        what = f"{len(rows)} records"
    difference = check_agreement(model, exported.kept, exported.weights, x_NLT, f_NK)
    return f"onnxruntime and PyTorch differ by at most {difference:.1g} in a probability, on {what}."


def _speed(model: onnx.ModelProto, exported: Exported, int8: Int8 | None, row: Row) -> str:
    """Latency and throughput on noise, in a sentence; the latency is that compared with eight bits."""
    (fed,) = feeds(*noise(exported, BATCH))
    content = model.SerializeToString()
    found = time_graph(content, fed) if int8 is None else int8.latency_float
    return (
        f"One {'ECG' if row == 'record' else row} takes {latency_words(1000 * found.median_ms)} "
        f"(99th percentile {latency_words(1000 * found.p99_ms)}) on one thread of {processor_name()}, "
        f"{throughput(content, fed, found):,.0f} {row}s a second in batches."
    )


def _folds(exported: Exported) -> list[Fold]:
    return [
        Fold(y_NC=each.predictions.targets_NC, p_NC=each.predictions.probabilities_NC)
        for each in exported.held_out
    ]


def _trained_on(exported: Exported, data: Development | None) -> TierMeaning:
    first = exported.members[0].kept
    return TierMeaning(
        name=exported.tier,
        exclusive=first.is_exclusive,
        rule=None,
        classes=first.classes,
        children=((),) * len(first.classes),
        descriptions={} if data is None else class_descriptions(data.hierarchy, exported.tier),
        ordinal=exported.tier in ORDINAL_TIERS,
    )


def _preprocessing(exported: Exported, study: StudyRecord) -> Preprocessing:
    first = exported.members[0].kept
    return Preprocessing(
        format=FORMAT,
        rate_hz=first.rate_hz,
        n_samples=first.n_samples,
        any_length=True,
        leads=first.leads,
        unit="mV",
        resolution_uv=1.0,
        filter=signal_filter(exported.architecture.filter, first.rate_hz),
        features=tuple(Feature(name=name, words=words) for name, words in FEATURES.items())
        if exported.has_features
        else (),
        members=tuple(map(_member, exported.members)),
        row=_row(study),
    )


def _member(member: ExportedMember) -> Member:
    statistics = member.kept.statistics
    return Member(
        name=member.name,
        trial=member.trial,
        fold=member.fold,
        weight=member.weight,
        n_features=features_width(member.kept.model),
        lead_mean_mv=tuple((statistics.mean_L.double() / MICROVOLTS).tolist()),
        lead_deviation_mv=tuple((statistics.deviation_L.double() / MICROVOLTS).tolist()),
    )


def signal_filter(name: str, rate_hz: int) -> SignalFilter:
    """A filter of `space.FILTERS` with the parameters that it has at a rate."""
    parameters: dict[str, dict[str, float | str | tuple[float, ...]]] = {
        "bandpass": {
            "kind": "Butterworth, forwards and backwards",
            "order": ORDER,
            "band_hz": (BAND_HZ[0], min(BAND_HZ[1], HIGHEST_SHARE * rate_hz / 2)),
        },
        "median": {
            "kind": "minus the baseline of two median filters",
            "windows_s": BASELINE_WINDOWS_S,
        },
    }
    return SignalFilter(name=name, words=FILTERS[name].words, parameters=parameters.get(name, {}))


def _evidence(
    exported: Exported,
    study: StudyRecord,
    data: Development | None,
    openings: Sequence[SealedFoldOpeningRecord],
    *,
    checked: str,
    speed: str,
    int8: Int8 | None,
    notes: Sequence[str],
) -> Evidence:
    held_out = [each.predictions for each in exported.held_out]
    folds = [(each.targets_NC, each.probabilities_NC) for each in held_out]
    groups, points = _groups_and_points(exported)
    patients: list[NDArray[np.int64]] = [each.patient_id for each in held_out if each.patient_id is not None]
    known = patients if len(patients) == len(folds) else None
    macro, auprc_C, auroc_C = _scores(folds, known)
    plan = None if data is None else data.fold_plan
    return Evidence(
        study=study,
        held_out=_held_out_words(exported, _row(study)),
        is_cross_validated=len(held_out) > 1,
        test=exported.test,
        expected=exported.expected,
        trainings=exported.trainings,
        folds=[f"{len(folds)} groups of folds in turn"]
        if plan is None
        else [f"{plan.column} {' and '.join(map(str, group))}" for group in plan.groups],
        macro=macro,
        coarser={} if data is None else _coarser_scores(exported, data.hierarchy, known),
        per_class={
            name: (float(auprc), float(auroc))
            for name, auprc, auroc in zip(exported.kept[0].classes, auprc_C, auroc_C, strict=True)
        },
        groups=groups,
        operating_points=points,
        openings=openings,
        checked=checked,
        speed=speed,
        int8=int8,
        notes=notes,
        parameters=sorted({member.parameters for member in exported.members}),
    )


def _scores(
    folds: Sequence[tuple[NDArray[np.bool_], NDArray[np.float32]]],
    patients: Sequence[NDArray[np.int64]] | None,
) -> tuple[MacroScores, Floats, Floats]:
    """Macro-AUPRC and -AUROC with intervals, and both of every class."""
    draws = Resampling(
        [y_NC for y_NC, _ in folds],
        rng=np.random.default_rng(0),
        patients=patients,
        n_resamples=N_RESAMPLES,
    )
    auprc_C, auprc_RC = draws.classes(folds, "auprc")
    auroc_C, auroc_RC = draws.classes(folds, "auroc")
    return (
        MacroScores(
            auprc=centred_interval(*draws.mean(auprc_C, auprc_RC)),
            auroc=centred_interval(*draws.mean(auroc_C, auroc_RC)),
            n_classes=int(np.count_nonzero(~np.isnan(auprc_C))),
        ),
        auprc_C,
        auroc_C,
    )


def _coarser_scores(
    exported: Exported, hierarchy: Hierarchy, patients: Sequence[NDArray[np.int64]] | None
) -> dict[str, MacroScores]:
    """Scores of the projected predictions on every coarser tier."""
    found = {}
    for tier in hierarchy.coarser_tiers(exported.tier)[1:]:
        folds = projected(hierarchy.projection(exported.tier, tier), _folds(exported))
        found[tier], _, _ = _scores([(each.y_NC, each.p_NC) for each in folds], patients)
    return found


def _groups_and_points(exported: Exported) -> tuple[list[Subgroup], dict[str, Mapping[str, Estimate]]]:
    """Scores by sex, age and origin, and clinical operating points of every class, on held-out records.

    Decisions are at the best F1 of each class on the other folds; of a single part, on itself.
    """
    name, first = exported.provenance.name, exported.members[0].kept
    parts = [each.predictions for each in exported.held_out]
    records = pooled_records(name, exported.tier, first.classes, parts)
    (p_NC,) = records.outputs[name].probabilities_NC
    if first.is_exclusive:
        decided_NC = most_probable(p_NC)
    elif len(parts) > 1:
        pairs = [(each.targets_NC, each.probabilities_NC) for each in parts]
        decided_NC = decisions_of(pairs, SHOWN_POLICY)
    else:
        decided_NC = decide(p_NC, choose_thresholds(records.targets_NC, p_NC, SHOWN_POLICY))
    weight_NR = ResampledRecords.of(records.targets_NC, records.patient_N, N_RESAMPLES).weight_NR
    points = class_operating_points(records.targets_NC, [p_NC], [decided_NC], weight_NR)
    return subgroups(records, {name: [decided_NC]}, weight_NR), {
        class_name: {score: estimate(each, index) for score, each in points.items()}
        for index, class_name in enumerate(first.classes)
    }
