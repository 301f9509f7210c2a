"""Ask the model of this folder about a WFDB record: python example.py RECORD (a path without .hea)."""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import wfdb
from scipy.ndimage import median_filter  # wfdb brings scipy
from scipy.signal import butter, sosfiltfilt


def main(path: str, folder: Path) -> None:
    """Print the probability of every class, and * where it reaches the threshold of the best F1."""
    given = json.loads((folder / "preprocessing.json").read_text(encoding="utf-8"))
    classes = json.loads((folder / "labels.json").read_text(encoding="utf-8"))["tiers"][0]["classes"]
    record = wfdb.rdrecord(path)
    names, rate = [name.upper() for name in record.sig_name], given["rate_hz"]
    missing = [lead for lead in given["leads"] if lead.upper() not in names]
    if missing or record.fs != rate or set(record.units) != {"mV"}:
        sys.exit(f"{path}: {record.fs} Hz in {record.units}, missing {missing}; the model wants {rate} Hz, mV")
    columns = [names.index(lead.upper()) for lead in given["leads"]]
    x = np.rint(1000 * record.p_signal[: given["n_samples"], columns].T)  # whole microvolts
    done, settings = given["filter"]["name"], given["filter"]["parameters"]
    if done == "bandpass":
        sections = butter(settings["order"], settings["band_hz"], "bandpass", fs=rate, output="sos")
        x = sosfiltfilt(sections, x, padlen=min(x.shape[1] - 1, 3 * rate))
    elif done == "median":
        line = x
        for window_s in settings["windows_s"]:
            line = median_filter(line, size=(1, 2 * round(window_s * rate / 2) + 1), mode="nearest")
        x = x - line
    fed = {"ecg": (np.rint(x) / 1000)[None].astype(np.float32)}
    if given["features"]:  # hand-crafted ones, NaN where they are not known
        fed["features_in"] = np.full((1, len(given["features"])), np.nan, np.float32)
    (p,) = onnxruntime.InferenceSession(str(folder / "model.onnx")).run(["probabilities"], fed)
    for value, each in sorted(zip(p[0], classes, strict=True), key=lambda pair: -pair[0]):
        is_called = value >= (each["thresholds"]["f1"] or np.inf)
        print(f"{value:.3f} {'*' if is_called else ' '} {each['name']}")


main(sys.argv[1], Path(__file__).parent)
