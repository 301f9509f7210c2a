"""Tiers, labels and the projection from fine to coarse."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from ptbxl_folder import STATEMENTS, write_statements

from search.data.ptbxl import read_table
from search.data.statements import Statement, read_statements
from search.data.tiers import PTBXL_TIERS, Hierarchy, project
from search.errors import DataError, UsageError

N_CLASSES = {"superclass": 5, "subclass": 23, "diagnostic": 44, "all": 71, "form": 19, "rhythm": 12}


@pytest.fixture
def statements(tmp_path: Path) -> tuple[Statement, ...]:
    write_statements(tmp_path, STATEMENTS)
    return read_statements(tmp_path)


@pytest.fixture
def hierarchy(statements: tuple[Statement, ...]) -> Hierarchy:
    return Hierarchy(statements)


@pytest.mark.needs_data
@pytest.mark.parametrize("name", ["ptb-xl-labels", "ptb-xl-sample"])
@pytest.mark.parametrize("tier", PTBXL_TIERS)
def test_counts_equal_those_computed_independently(shared_data: Path, name: str, tier: str) -> None:
    expected = json.loads((shared_data / name / "counts.json").read_text(encoding="utf-8"))[tier]
    table = read_table(shared_data / name)
    hierarchy = Hierarchy(read_statements(shared_data / name))
    y_NC = hierarchy.labels(tier, table.scp_codes)
    positives = dict(zip(hierarchy.classes(tier), y_NC.sum(axis=0).tolist(), strict=True))
    sealed = y_NC[table.strat_fold == 10]
    assert len(hierarchy.classes(tier)) == N_CLASSES[tier]
    assert {label: n for label, n in positives.items() if n} == expected["classes"]
    assert (len(y_NC), y_NC.sum()) == (expected["records"], expected["ones"])
    assert np.count_nonzero(~y_NC.any(axis=1)) == expected["unlabelled"]
    assert expected["fold10"] == {
        "rows": len(sealed),
        "ones": sealed.sum(),
        "all_zero": np.count_nonzero(~sealed.any(axis=1)),
    }


@pytest.mark.needs_data
def test_acceptance_figures_of_the_subclass_matrix(shared_data: Path) -> None:
    root = shared_data / "ptb-xl-labels"
    table = read_table(root)
    y_NC = Hierarchy(read_statements(root)).labels("subclass", table.scp_codes)
    sealed = y_NC[table.strat_fold == 10]
    assert y_NC.sum() == 30_267
    assert (len(sealed), sealed.sum(), np.count_nonzero(~sealed.any(axis=1))) == (2_198, 3_034, 40)


@pytest.mark.needs_data
def test_projected_labels_are_the_labels_of_the_coarser_tier(shared_data: Path) -> None:
    root = shared_data / "ptb-xl-sample"
    table = read_table(root)
    hierarchy = Hierarchy(read_statements(root))
    for coarse in PTBXL_TIERS:
        for fine in hierarchy.training_tiers(coarse):
            p_NC = hierarchy.labels(fine, table.scp_codes).astype(np.float32)
            expected = hierarchy.labels(coarse, table.scp_codes)
            np.testing.assert_array_equal(project(p_NC, hierarchy.projection(fine, coarse)), expected)


def test_classes_are_fixed_and_alphabetical(hierarchy: Hierarchy) -> None:
    assert hierarchy.classes("superclass") == ("CD", "MI", "NORM", "STTC")
    assert hierarchy.classes("subclass") == ("AMI", "IMI", "NORM", "NST_", "STTC", "_AVB")
    assert hierarchy.classes("form") == ("ABQRS", "NDT", "NST_")
    assert hierarchy.classes("rhythm") == ("AFIB", "SR")
    for tier in PTBXL_TIERS:
        assert list(hierarchy.classes(tier)) == sorted(hierarchy.classes(tier))


def test_a_statement_counts_whatever_its_likelihood(hierarchy: Hierarchy) -> None:
    records = [{"IMI": 0.0, "ILMI": 15.0, "SR": 0.0}, {"AFIB": 0.0}, {}]
    y_NC = hierarchy.labels("subclass", records)
    assert y_NC.dtype == np.bool_
    assert y_NC.tolist() == [[False, True, False, False, False, False], [False] * 6, [False] * 6]
    assert hierarchy.labels("rhythm", records).tolist() == [[False, True], [True, False], [False, False]]
    assert hierarchy.labels("all", []).shape == (0, 10)


def test_codes_without_their_underscores_are_the_same_statements(hierarchy: Hierarchy) -> None:
    np.testing.assert_array_equal(hierarchy.labels("all", [["NST"]]), hierarchy.labels("all", [["NST_"]]))
    assert hierarchy.code("NST") == hierarchy.code("_NST") == "NST_"
    assert hierarchy.code("XYZ") is None


def test_a_data_set_may_drop_the_underscores_of_its_statements(statements: tuple[Statement, ...]) -> None:
    renamed = [
        replace(s, code=s.code.strip("_"), subclass=s.subclass and s.subclass.strip("_")) for s in statements
    ]
    hierarchy = Hierarchy(renamed)
    assert "AVB" in hierarchy.classes("subclass")
    assert hierarchy.labels("subclass", [["NST_"]]).sum() == 1


def test_codes_that_differ_in_underscores_alone_stay_apart(statements: tuple[Statement, ...]) -> None:
    hierarchy = Hierarchy([*statements, replace(statements[1], code="NST")])
    assert hierarchy.code("NST_") == "NST_"
    assert hierarchy.code("NST") == "NST"
    assert hierarchy.code("_NST") is None


def test_an_unknown_code_is_named_with_its_records(hierarchy: Hierarchy) -> None:
    records = [["NORM"], ["XYZ", "SR"], *[["XYZ"]] * 6]
    with pytest.raises(DataError) as error:
        hierarchy.labels("superclass", records, ecg_id=np.arange(101, 109))
    assert str(error.value) == (
        "SCP code 'XYZ' of record 102, 103, 104, 105, 106 and 2 more is not in scp_statements.csv; "
        "add a line for it there or correct the code"
    )
    with pytest.raises(DataError, match="of row 2, 3"):
        hierarchy.labels("superclass", records)


def test_unknown_tiers_list_those_there_are(hierarchy: Hierarchy) -> None:
    assert hierarchy.check_tier("form") == "form"
    for call in (hierarchy.check_tier, hierarchy.classes, hierarchy.training_tiers, hierarchy.coarser_tiers):
        with pytest.raises(
            UsageError, match="unknown tier 'severity'; choose one of superclass, subclass, diag"
        ):
            call("severity")


def test_refinement(hierarchy: Hierarchy) -> None:
    assert hierarchy.training_tiers("superclass") == ("superclass", "subclass", "diagnostic", "all")
    assert hierarchy.training_tiers("rhythm") == ("rhythm", "all")
    assert hierarchy.training_tiers("all") == ("all",)
    assert hierarchy.coarser_tiers("diagnostic") == ("diagnostic", "subclass", "superclass")
    assert hierarchy.coarser_tiers("form") == ("form",)
    assert hierarchy.coarser_tiers("all")[0] == "all"
    assert set(hierarchy.coarser_tiers("all")) == set(PTBXL_TIERS)
    for fine in PTBXL_TIERS:
        assert hierarchy.refines(fine, fine)
        assert hierarchy.refines("all", fine)
        for coarse in PTBXL_TIERS:
            assert hierarchy.refines(fine, coarse) == (coarse in hierarchy.coarser_tiers(fine))
            if hierarchy.refines(fine, coarse) and fine != coarse:
                assert not hierarchy.refines(coarse, fine)


def test_projection_matrix(hierarchy: Hierarchy) -> None:
    matrix = hierarchy.projection("diagnostic", "superclass")
    assert matrix.shape == (7, 4)
    children = np.array(hierarchy.classes("diagnostic"))[
        matrix[:, hierarchy.classes("superclass").index("MI")]
    ]
    assert children.tolist() == ["ASMI", "ILMI", "IMI"]
    np.testing.assert_array_equal(hierarchy.projection("form", "form"), np.eye(3, dtype=bool))
    with pytest.raises(
        UsageError, match="tier form does not determine tier subclass; use one of subclass, diag"
    ):
        hierarchy.projection("form", "subclass")


def test_a_class_with_two_parents_is_refused(statements: tuple[Statement, ...]) -> None:
    crossed = [replace(s, superclass="HYP") if s.code == "ILMI" else s for s in statements]
    with pytest.raises(DataError, match="puts the subclass IMI under HYP and MI; give it one superclass"):
        Hierarchy(crossed)


TREE = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0], [1, 0, 0]], dtype=bool)  # three children, one, none


@given(arrays(np.float64, (5, 4), elements=st.floats(0, 1)))
def test_projection_is_noisy_or(p_NC: np.ndarray) -> None:
    projected = project(p_NC, TREE)
    expected = 1 - (1 - p_NC[:, [0, 1, 3]]).prod(axis=1)
    np.testing.assert_allclose(projected[:, 0], expected, atol=1e-15)
    np.testing.assert_array_equal(projected[:, 1], p_NC[:, 2])
    np.testing.assert_array_equal(projected[:, 2], 0)
    assert (projected[:, 0] >= p_NC[:, [0, 1, 3]].max(axis=1) - 1e-15).all()


@given(arrays(np.float64, (3, 10), elements=st.floats(0, 1)))
def test_projecting_in_two_steps_is_projecting_at_once(p_NC: np.ndarray) -> None:
    hierarchy = Hierarchy(
        [
            Statement(
                code=code,
                description=text,
                diagnostic=diagnostic == "1.0",
                form=form == "1.0",
                rhythm=rhythm == "1.0",
                superclass=superclass if diagnostic == "1.0" else None,
                subclass=subclass if diagnostic == "1.0" else None,
            )
            for code, text, diagnostic, form, rhythm, superclass, subclass in STATEMENTS
        ]
    )
    halfway = project(p_NC, hierarchy.projection("all", "subclass"))
    np.testing.assert_allclose(
        project(halfway, hierarchy.projection("subclass", "superclass")),
        project(p_NC, hierarchy.projection("all", "superclass")),
        atol=1e-12,
    )


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_projection_keeps_type_small_values_certainty_and_nan(dtype: type) -> None:
    p_NC = np.array([[1, 0.5, 0.25, 0], [1e-7, 0, 1, 1e-7], [np.nan, 0, 0.25, 0]], dtype=dtype)
    projected = project(p_NC, TREE)
    assert projected.dtype == dtype
    assert projected[0].tolist() == [1, 0.25, 0]
    assert projected[1, 0] == pytest.approx(2 * float(p_NC[1, 0]), rel=1e-3)
    assert np.isnan(projected[2, 0])
    assert projected[2, 1] == 0.25
    np.testing.assert_array_equal(project(p_NC[np.newaxis], TREE)[0], projected)


def test_projection_refuses_what_is_no_probability() -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        project(np.array([[0.5, 1.5, 0, 0]]), TREE)
