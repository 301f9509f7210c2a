"""Tiers, labels and the projection from fine to coarse."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ptbxl_folder import STATEMENTS, write_statements
from real_records import counts, ptbxl_folders

from search.data.labels.projection import any_of, sum_of, worst_of
from search.data.labels.severity import SEVERITY_FILE
from search.data.labels.tiers import PTBXL_TIERS, Hierarchy
from search.data.readers.ptbxl import read_table
from search.data.readers.statements import Statement, read_statements
from search.errors import DataError, UsageError

N_CLASSES = {"superclass": 5, "subclass": 23, "diagnostic": 44, "all": 71, "form": 19, "rhythm": 12}
"""Of the tiers that PTB-XL itself defines."""


@pytest.fixture
def statements(tmp_path: Path) -> tuple[Statement, ...]:
    write_statements(tmp_path, STATEMENTS)
    return read_statements(tmp_path)


@pytest.fixture
def hierarchy(statements: tuple[Statement, ...]) -> Hierarchy:
    return Hierarchy(statements)


@ptbxl_folders
@pytest.mark.parametrize("tier", N_CLASSES)
def test_counts_equal_those_computed_independently(ptbxl: Path, tier: str) -> None:
    expected = counts(ptbxl)[tier]
    table = read_table(ptbxl)
    hierarchy = Hierarchy(read_statements(ptbxl))
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


@ptbxl_folders
def test_projected_labels_are_the_labels_of_the_coarser_tier(ptbxl: Path) -> None:
    table = read_table(ptbxl)
    hierarchy = Hierarchy(read_statements(ptbxl))
    for coarse in PTBXL_TIERS:
        for fine in hierarchy.training_tiers(coarse):
            p_NC = hierarchy.labels(fine, table.scp_codes).astype(np.float32)
            expected = hierarchy.labels(coarse, table.scp_codes)
            np.testing.assert_array_equal(hierarchy.projection(fine, coarse)(p_NC), expected)


def test_classes_are_fixed_and_alphabetical(hierarchy: Hierarchy) -> None:
    assert hierarchy.classes("superclass") == ("CD", "MI", "NORM", "STTC")
    assert hierarchy.classes("subclass") == ("AMI", "IMI", "NORM", "NST_", "STTC", "_AVB")
    assert hierarchy.classes("form") == ("ABQRS", "NDT", "NST_")
    assert hierarchy.classes("rhythm") == ("AFIB", "SR")
    assert hierarchy.classes("aha") == ("1", "145", "161", "165", "20", "50")
    for tier in PTBXL_TIERS:
        if not hierarchy.is_ordinal(tier):
            assert list(hierarchy.classes(tier)) == sorted(hierarchy.classes(tier))


def test_ordinal_tiers_have_all_levels_from_mild_to_severe(hierarchy: Hierarchy) -> None:
    assert [tier for tier in PTBXL_TIERS if hierarchy.is_ordinal(tier)] == ["severity-4", "severity-3"]
    assert hierarchy.classes("severity-4") == ("normal", "minor", "major", "critical")
    assert hierarchy.classes("severity-3") == ("benign", "non-urgent", "urgent")


def test_severity_is_that_of_the_worst_statement(hierarchy: Hierarchy) -> None:
    records = [{"NORM": 100.0, "SR": 0.0}, {"NORM", "IMI"}, {"IMI", "AFIB", "SR"}, {"AFIB"}, {}]
    assert hierarchy.labels("severity-4", records).argmax(axis=1).tolist() == [0, 2, 3, 3, 0]
    assert hierarchy.labels("severity-3", records).argmax(axis=1).tolist() == [0, 1, 2, 2, 0]
    for tier in ("severity-4", "severity-3"):
        assert hierarchy.labels(tier, records).sum(axis=1).tolist() == [1] * 5


@pytest.mark.needs_data
def test_severity_of_all_records(shared_data: Path) -> None:
    root = shared_data / "ptb-xl-labels"
    table = read_table(root)
    hierarchy = Hierarchy(read_statements(root))
    for tier, everywhere, sealed in (
        ("severity-3", [7_601, 9_167, 5_031], [736, 957, 505]),
        ("severity-4", [7_601, 474, 8_693, 5_031], [736, 44, 913, 505]),
    ):
        y_NC = hierarchy.labels(tier, table.scp_codes)
        assert y_NC.sum(axis=0).tolist() == everywhere
        assert y_NC[table.strat_fold == 10].sum(axis=0).tolist() == sealed
        assert (y_NC.sum(axis=1) == 1).all()


@ptbxl_folders
def test_aha_statements_of_all_records(ptbxl: Path) -> None:
    table = read_table(ptbxl)
    hierarchy = Hierarchy(read_statements(ptbxl))
    y_NC = hierarchy.labels("aha", table.scp_codes)
    positives = dict(zip(hierarchy.classes("aha"), y_NC.sum(axis=0).tolist(), strict=True))
    assert len(positives) == 30
    everything = counts(ptbxl)["all"]["classes"]
    for number, code in (("1", "NORM"), ("20", "SR"), ("50", "AFIB"), ("142", "LVH"), ("88", "3AVB")):
        assert positives[number] == everything.get(code, 0)


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
    assert hierarchy.training_tiers("severity-3") == ("severity-3", "severity-4", "all")
    assert hierarchy.coarser_tiers("severity-4") == ("severity-4", "severity-3")
    assert hierarchy.coarser_tiers("all")[0] == "all"
    assert set(hierarchy.coarser_tiers("all")) == set(PTBXL_TIERS)
    for fine in PTBXL_TIERS:
        assert hierarchy.refines(fine, fine)
        assert hierarchy.refines("all", fine)
        for coarse in PTBXL_TIERS:
            assert hierarchy.refines(fine, coarse) == (coarse in hierarchy.coarser_tiers(fine))
            if hierarchy.refines(fine, coarse) and fine != coarse:
                assert not hierarchy.refines(coarse, fine)


def test_projection_follows_the_tiers(hierarchy: Hierarchy) -> None:
    assert hierarchy.projection("all", "form").rule is any_of
    assert hierarchy.projection("all", "severity-3").rule is worst_of
    assert hierarchy.projection("severity-4", "severity-3").rule is sum_of
    # No statement of this data set is minor; the levels belong together all the same.
    children = hierarchy.projection("severity-4", "severity-3").children
    np.testing.assert_array_equal(children, [[1, 0, 0], [0, 1, 0], [0, 1, 0], [0, 0, 1]])
    by_code = dict(
        zip(hierarchy.classes("all"), hierarchy.projection("all", "severity-4").children, strict=True)
    )
    assert by_code["SR"].tolist() == [True, False, False, False]
    assert by_code["1AVB"].tolist() == [False, False, True, False]
    assert by_code["AFIB"].tolist() == [False, False, False, True]


def test_projection_by_hand(hierarchy: Hierarchy) -> None:
    p_NC = np.zeros((1, len(hierarchy.classes("all"))))
    for code, probability in (("AFIB", 0.5), ("IMI", 0.2), ("1AVB", 0.25), ("NORM", 0.9)):
        p_NC[0, hierarchy.classes("all").index(code)] = probability
    # Critical: AFIB, .5. Major: no AFIB, and IMI or 1AVB, .5 · (1 − .8 · .75) = .2. Normal: neither, .3.
    np.testing.assert_allclose(hierarchy.projection("all", "severity-4")(p_NC), [[0.3, 0, 0.2, 0.5]])
    np.testing.assert_allclose(hierarchy.projection("all", "severity-3")(p_NC), [[0.3, 0.2, 0.5]])


def test_children(hierarchy: Hierarchy) -> None:
    matrix = hierarchy.projection("diagnostic", "superclass").children
    assert matrix.shape == (7, 4)
    children = np.array(hierarchy.classes("diagnostic"))[
        matrix[:, hierarchy.classes("superclass").index("MI")]
    ]
    assert children.tolist() == ["ASMI", "ILMI", "IMI"]
    np.testing.assert_array_equal(hierarchy.projection("form", "form").children, np.eye(3, dtype=bool))
    with pytest.raises(
        UsageError, match="tier form does not determine tier subclass; use one of subclass, diag"
    ):
        hierarchy.projection("form", "subclass")


def test_a_class_with_two_parents_is_refused(statements: tuple[Statement, ...]) -> None:
    crossed = [replace(s, superclass="HYP") if s.code == "ILMI" else s for s in statements]
    with pytest.raises(DataError, match="puts the subclass IMI under HYP and MI; give it one superclass"):
        Hierarchy(crossed)


def test_a_statement_without_a_severity_is_refused(statements: tuple[Statement, ...]) -> None:
    with pytest.raises(DataError) as error:
        Hierarchy([*statements, replace(statements[1], code="XYZ", subclass="XYZ")])
    assert str(error.value) == (
        f"statement 'XYZ' of scp_statements.csv is not in {SEVERITY_FILE}; add it there to aha.unmapped "
        "(or aha.codes) and to a level of every scheme"
    )


def test_severity_and_aha_number_without_underscores(statements: tuple[Statement, ...]) -> None:
    hierarchy = Hierarchy([replace(s, code=s.code.strip("_")) for s in statements])
    assert "145" in hierarchy.classes("aha")
    assert hierarchy.labels("severity-4", [["NST"]]).argmax(axis=1).tolist() == [2]


def test_soft_labels_by_hand(hierarchy: Hierarchy) -> None:
    certain = [{"IMI": 0.5, "ILMI": 0.8, "NDT": 1.0, "SR": 1.0}, {"NORM": 0.35}, {}]
    soft_NC = hierarchy.soft_labels("superclass", certain)
    column = {name: hierarchy.classes("superclass").index(name) for name in ("STTC", "MI", "NORM")}
    # Either infarction suffices: 1 − .5 · .2.
    np.testing.assert_allclose(soft_NC[0, [column["MI"], column["STTC"], column["NORM"]]], [0.9, 1.0, 0.0])
    np.testing.assert_allclose(soft_NC[1].sum(), 0.35)
    assert not soft_NC[2].any()
    np.testing.assert_allclose(hierarchy.soft_labels("severity-4", certain).sum(axis=1), 1.0)


def test_soft_labels_of_certain_statements_are_the_labels(hierarchy: Hierarchy) -> None:
    records = [["NORM", "SR"], ["IMI", "ASMI"], ["AFIB"], []]
    for tier in hierarchy.tiers:
        soft_NC = hierarchy.soft_labels(tier, [dict.fromkeys(codes, 1.0) for codes in records])
        np.testing.assert_array_equal(soft_NC, hierarchy.labels(tier, records))
