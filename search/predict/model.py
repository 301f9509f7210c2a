"""An exported model in onnxruntime.

Shapes: N window, L lead, T time, C class, K feature, H hand-crafted feature.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import space
from search.cores import available_cores
from search.data.signals.filters import Filter, filter_named
from search.data.signals.people import Person
from search.errors import DataError, UsageError, one_line
from search.export.folder import (
    CLASSES_KEY,
    ECG_INPUT,
    FEATURES_INPUT,
    GRAPH,
    GRAPH_INT8,
    LABELS,
    LEADS_KEY,
    OUTPUTS,
    PREPROCESSING,
    ModelFolder,
    Preprocessing,
    read_folder,
)
from search.predict.people import asked_of_person


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Output:
    """Output of a graph for some windows."""

    filtered_NLT: NDArray[np.int16]
    """Microvolts after the filter, which the graph got."""
    probabilities_NC: NDArray[np.float32]
    """Probabilities of the tier trained on."""
    features_NK: NDArray[np.float32]
    """Input of the head of every member."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ExportedModel:
    """The graph of a folder with its preprocessing."""

    folder: ModelFolder
    session: Any
    """An `onnxruntime.InferenceSession`."""
    apply_filter: Filter

    @property
    def asks_for(self) -> tuple[str, ...]:
        """Attributes of a person among the inputs of the model: `age`, `sex`, both or neither."""
        return asked_of_person(self.folder.preprocessing)

    def __call__(self, x_NLT: NDArray[np.int16], people: Sequence[Person] | None = None) -> Output:
        """Run the graph on windows.

        Args:
            x_NLT: Microvolts before the filter, at the rate of the model.
            people: Person of each window; by default age and sex are unknown.

        Raises:
            DataError: The graph cannot be run on them.
        """
        filtered_NLT = self.apply_filter(x_NLT, self.folder.preprocessing.rate_hz)
        inputs = {ECG_INPUT: (filtered_NLT / np.float32(1000)).astype(np.float32)}
        if self.folder.preprocessing.features:
            inputs[FEATURES_INPUT] = record_inputs(x_NLT, self.folder.preprocessing, people)
        try:
            probabilities, _, features = self.session.run(list(OUTPUTS), inputs)
        except Exception as error:  # onnxruntime has an exception for every kind of failure
            raise DataError(f"{self.folder.path / GRAPH} cannot be run: {one_line(error)}") from error
        return Output(filtered_NLT=filtered_NLT, probabilities_NC=probabilities, features_NK=features)


def record_inputs(
    x_NLT: NDArray[np.int16], preprocessing: Preprocessing, people: Sequence[Person] | None = None
) -> NDArray[np.float32]:
    """Hand-crafted features that a model uses beside the signal, shape (N, H).

    Args:
        x_NLT: Microvolts before the filter, as in training.
        preprocessing: Which features, and the rate.
        people: Person of each window; by default age and sex are unknown.
    """
    from search.data.features.names import FEATURE_NAMES
    from search.data.features.record import record_features

    columns = [FEATURE_NAMES.index(feature.name) for feature in preprocessing.features]
    rate_hz, leads = preprocessing.rate_hz, preprocessing.leads
    return np.stack(
        [
            record_features(x_LT, rate_hz, leads=leads, age=person.age, sex=person.sex)[columns]
            for x_LT, person in zip(x_NLT, people or [Person()] * len(x_NLT), strict=True)
        ]
    )


def open_folder(path: Path) -> tuple[ModelFolder, Filter]:
    """A folder that `export` wrote, and the filter of its model.

    Raises:
        UsageError: It is no such folder.
        DataError: It is damaged, or of a newer version.
    """
    folder = read_folder(path)
    name = folder.preprocessing.filter.name
    if name not in space.FILTERS:
        raise DataError(f"{path}: the filter {name!r} is of a space file, which this program does not have")
    return folder, filter_named(name)


def load_exported(path: Path, *, int8: bool) -> ExportedModel:
    """Open a folder that `export` wrote.

    Args:
        path: The folder.
        int8: Take the graph of eight bits.

    Raises:
        DataError: It is damaged, or of a newer version.
        UsageError: It is no such folder, has no graph of eight bits, its model is one of beats, or
            onnxruntime is missing.
    """
    folder, apply_filter = open_folder(path)
    if folder.preprocessing.row == "beat":
        raise UsageError(
            f"{path} is a model of single beats around annotated R peaks, which a recording does not have; "
            "give a model of records"
        )
    graph = path / (GRAPH_INT8 if int8 else GRAPH)
    if not graph.is_file():
        raise UsageError(f"--int8: {path} has no {GRAPH_INT8}; leave --int8 out or export with int8")
    session = _session(graph)
    _check_widths(graph, session, folder)
    _check_names(graph, session, folder)
    return ExportedModel(folder=folder, session=session, apply_filter=apply_filter)


def _check_widths(graph: Path, session: Any, folder: ModelFolder) -> None:
    """Make sure that a graph is that of the documents beside it.

    Raises:
        DataError: It has another number of leads, hand-crafted features, classes or features.
    """
    preprocessing, classes = folder.preprocessing, folder.labels.tiers[0].classes
    wanted = {
        ECG_INPUT: len(preprocessing.leads),
        **({FEATURES_INPUT: len(preprocessing.features)} if preprocessing.features else {}),
        OUTPUTS[0]: len(classes),
        OUTPUTS[2]: sum(member.n_features for member in preprocessing.members),
    }
    there = {each.name: each.shape for each in (*session.get_inputs(), *session.get_outputs())}
    for name, width in wanted.items():
        if name not in there:
            raise DataError(f"{graph} lacks the input {name}; export the model again")
        found = there[name][1] if len(there[name]) > 1 else None
        if isinstance(found, int) and found != width:
            raise DataError(
                f"{graph} is of another model than the files beside it: {name} is {found:,} wide, not "
                f"{width:,}; export the model again"
            )


def _check_names(graph: Path, session: Any, folder: ModelFolder) -> None:
    """Make sure that documents of equal widths are not those of another model.

    Raises:
        DataError: The name of the model, its classes or its leads differ; graphs of before these were kept
            have their name alone.
    """
    about = session.get_modelmeta()
    pairs = [(LABELS, "the model", about.graph_name, folder.labels.model.name)]
    for document, key, names in (
        (LABELS, CLASSES_KEY, [each.name for each in folder.labels.tiers[0].classes]),
        (PREPROCESSING, LEADS_KEY, list(folder.preprocessing.leads)),
    ):
        if key in about.custom_metadata_map:
            pairs.append((document, key, about.custom_metadata_map[key], json.dumps(names)))
    for document, what, of_graph, of_document in pairs:
        if of_graph != of_document:
            raise DataError(
                f"{folder.path / document} is of another model than {graph.name}: {what} is "
                f"{_short(of_document)}, not {_short(of_graph)}; export the model again"
            )


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:59]}…"


def _session(graph: Path) -> Any:
    try:
        import onnxruntime
    except ImportError:
        raise UsageError("predict needs onnxruntime: pip install onnxruntime") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = available_cores()
    options.log_severity_level = 4  # failures raise an exception
    try:
        session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has an exception for every kind of failure
        raise DataError(f"{graph} is damaged: {one_line(error)}; export the model again") from error
    lacking = [name for name in OUTPUTS if name not in {output.name for output in session.get_outputs()}]
    if lacking:
        raise DataError(f"{graph} lacks the output {lacking[0]}; export the model again")
    return session
