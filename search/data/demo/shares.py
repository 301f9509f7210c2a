"""Frequency of each statement in the demo, and statements that can occur together.

The shares follow PTB-XL loosely (normal most frequent, posterior infarction and septal hypertrophy rarest),
flattened so that from 1,000 records on every subclass has at least 20.
"""

NO_DIAGNOSIS_SHARE = 0.04
LABEL_NOISE_SHARE = 0.04

SUBCLASSES: dict[str, tuple[float, str, dict[str, float]]] = {
    # subclass: (share of all records, group, statements with their share within the subclass)
    "NORM": (0.270, "normal", {"NORM": 1.0}),
    "IMI": (
        0.090, "infarction",
        {"IMI": 0.50, "ILMI": 0.20, "IPMI": 0.10, "IPLMI": 0.08, "INJIN": 0.07, "INJIL": 0.05},
    ),
    "AMI": (
        0.085, "infarction",
        {"ASMI": 0.40, "AMI": 0.20, "ALMI": 0.20, "INJAS": 0.08, "INJAL": 0.07, "INJLA": 0.05},
    ),
    "LMI": (0.030, "infarction", {"LMI": 1.0}),
    "PMI": (0.024, "infarction", {"PMI": 1.0}),
    "STTC": (0.075, "repolarisation", {"NDT": 0.40, "LNGQT": 0.18, "DIG": 0.18, "ANEUR": 0.12, "EL": 0.12}),
    "NST_": (0.040, "repolarisation", {"NST_": 1.0}),
    "ISC_": (0.055, "repolarisation", {"ISC_": 1.0}),
    "ISCA": (0.050, "repolarisation", {"ISCAL": 0.40, "ISCAS": 0.25, "ISCLA": 0.20, "ISCAN": 0.15}),
    "ISCI": (0.035, "repolarisation", {"ISCIN": 0.55, "ISCIL": 0.45}),
    "LVH": (0.065, "hypertrophy", {"LVH": 1.0}),
    "RVH": (0.026, "hypertrophy", {"RVH": 1.0}),
    "SEHYP": (0.024, "hypertrophy", {"SEHYP": 1.0}),
    "LAO/LAE": (0.035, "atria", {"LAO/LAE": 1.0}),
    "RAO/RAE": (0.026, "atria", {"RAO/RAE": 1.0}),
    "LAFB/LPFB": (0.060, "fascicle", {"LAFB": 0.65, "LPFB": 0.35}),
    "IRBBB": (0.050, "bundle", {"IRBBB": 1.0}),
    "CRBBB": (0.040, "bundle", {"CRBBB": 1.0}),
    "CLBBB": (0.040, "left bundle", {"CLBBB": 1.0}),
    "ILBBB": (0.026, "left bundle", {"ILBBB": 1.0}),
    "IVCD": (0.045, "bundle", {"IVCD": 1.0}),
    "WPW": (0.026, "pre-excitation", {"WPW": 1.0}),
    "_AVB": (0.045, "node", {"1AVB": 0.50, "2AVB": 0.25, "3AVB": 0.25}),
}  # fmt: skip

PAIRS = {
    frozenset(pair)
    for pair in (
        ("infarction", "fascicle"), ("infarction", "bundle"), ("infarction", "atria"), ("infarction", "node"),
        ("infarction", "repolarisation"), ("repolarisation", "hypertrophy"), ("repolarisation", "fascicle"),
        ("repolarisation", "atria"), ("repolarisation", "node"), ("hypertrophy", "atria"),
        ("hypertrophy", "fascicle"), ("hypertrophy", "node"), ("atria", "fascicle"), ("atria", "bundle"),
        ("atria", "left bundle"), ("node", "fascicle"), ("node", "bundle"), ("fascicle", "bundle"),
    )
}  # fmt: skip
"""Groups of statements that one recording can distinguish (left bundle branch block hides infarction)."""

RHYTHMS = {
    "AFIB": 0.060, "STACH": 0.045, "SARRH": 0.045, "SBRAD": 0.045, "PACE": 0.020, "SVARR": 0.020,
    "AFLT": 0.020, "BIGU": 0.020, "TRIGU": 0.020, "SVTAC": 0.020, "PSVT": 0.020,
}  # fmt: skip
"""Share of all records; the rest is in sinus rhythm."""

NEEDS_SINUS_GROUPS = {"normal", "atria", "node", "pre-excitation"}
SINUS_RHYTHMS = {"STACH", "SARRH", "SBRAD", "BIGU", "TRIGU"}
NO_DIAGNOSIS_RHYTHMS = ("PACE", "AFIB", "PACE", "AFLT")

COMPANIONS: dict[str, tuple[frozenset[str], float]] = {
    # form statement: (diagnostic statements that it describes, probability beside one of them)
    "ABQRS": (
        frozenset({"IMI", "ILMI", "ASMI", "AMI", "ALMI", "LMI", "PMI", "IPMI", "IPLMI", "CLBBB", "WPW"}),
        0.50,
    ),
    "QWAVE": (frozenset({"IMI", "ILMI", "LMI", "SEHYP"}), 0.35),
    "VCLVH": (frozenset({"LVH"}), 0.40),
    "HVOLT": (frozenset({"LVH"}), 0.15),
    "LOWT": (frozenset({"NDT"}), 0.30),
    "NT_": (frozenset({"NDT"}), 0.25),
    "TAB_": (frozenset({"NDT"}), 0.25),
    "INVT": (frozenset({"ISCAL", "ISCAS", "ISCAN", "ISCIN", "AMI", "ASMI"}), 0.25),
    "STD_": (frozenset({"ISC_", "LVH", "NST_", "DIG"}), 0.30),
    "STE_": (frozenset({"AMI", "ANEUR"}), 0.30),
    "LPR": (frozenset({"1AVB"}), 0.50),
}

STANDALONE = {
    "PVC": 0.050, "PAC": 0.030, "PRC(S)": 0.015, "LVOLT": 0.025, "LOWT": 0.010, "HVOLT": 0.010,
    "VCLVH": 0.012, "STD_": 0.010, "STE_": 0.010, "INVT": 0.010, "QWAVE": 0.010, "TAB_": 0.008, "NT_": 0.008,
}  # fmt: skip
"""Form statements that also come by themselves and then shape the signal; probability per record."""

BESIDE_NORMAL = {"PVC", "PAC", "PRC(S)", "LVOLT", "HVOLT", "VCLVH"}

SUBCLASS_OF = {code: name for name, (_, _, statements) in SUBCLASSES.items() for code in statements}
"""Diagnostic statement to subclass."""

SEVERITY = (0.3, 1.0)
"""Uniform range of how fully a record shows its statements."""
