"""Ask the model of this folder about a WFDB record: python example.py RECORD (a path without .hea)."""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import wfdb
from scipy import ndimage, signal  # wfdb brings scipy

folder = Path(__file__).parent
given = json.loads((folder / "preprocessing.json").read_text(encoding="utf-8"))
if given["row"] == "beat":
    sys.exit("the model takes single beats around their R peaks, not records")
classes = json.loads((folder / "labels.json").read_text(encoding="utf-8"))["tiers"][0]["classes"]
record, rate, settings = wfdb.rdrecord(sys.argv[1]), given["rate_hz"], given["filter"]["parameters"]
names = [name.upper() for name in record.sig_name]
missing = [lead for lead in given["leads"] if lead.upper() not in names]
if missing or record.fs != rate or set(record.units) != {"mV"}:
    sys.exit(f"{record.fs} Hz in {record.units} without leads {missing}: the model wants {rate} Hz in mV")
columns = [names.index(lead.upper()) for lead in given["leads"]]
x = np.rint(1000 * record.p_signal[: given["n_samples"], columns].T)  # whole microvolts
if given["filter"]["name"] == "bandpass":
    sections = signal.butter(settings["order"], settings["band_hz"], "bandpass", fs=rate, output="sos")
    x = signal.sosfiltfilt(sections, x, padlen=min(x.shape[1] - 1, 3 * rate))
elif given["filter"]["name"] == "median":
    baseline = x
    for window_s in settings["windows_s"]:
        size = 2 * round(window_s * rate / 2) + 1
        baseline = ndimage.median_filter(baseline, size=(1, size), mode="nearest")
    x = x - baseline
fed = {"ecg": (np.rint(x) / 1000)[None].astype(np.float32)}
if given["features"]:  # hand-crafted ones, NaN where they are not known
    fed["features_in"] = np.full((1, len(given["features"])), np.nan, np.float32)
session = onnxruntime.InferenceSession(str(folder / "model.onnx"))
(probabilities,) = session.run(["probabilities"], fed)
for p, each in sorted(zip(probabilities[0], classes, strict=True), key=lambda pair: -pair[0]):
    is_called = p >= (each["thresholds"]["f1"] or np.inf)  # the threshold of the best F1
    print(f"{p:.3f} {'*' if is_called else ' '} {each['name']}")
