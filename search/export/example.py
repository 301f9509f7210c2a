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
tier = json.loads((folder / "labels.json").read_text(encoding="utf-8"))["tiers"][0]
if given["row"] == "beat" or len(sys.argv) != 2 or not Path(f"{sys.argv[1]}.hea").is_file():
    sys.exit(f"the model takes a {given['row']}; usage: python example.py RECORD, a path without .hea")
record, rate, settings = wfdb.rdrecord(sys.argv[1]), given["rate_hz"], given["filter"]["parameters"]
names = [name.upper() for name in record.sig_name]
missing = [lead for lead in given["leads"] if lead.upper() not in names]
if missing or record.fs != rate or set(record.units) != {"mV"}:
    sys.exit(f"{record.fs} Hz in {record.units} without leads {missing}: the model wants {rate} Hz in mV")
columns = [names.index(lead.upper()) for lead in given["leads"]]
x = np.rint(1000 * record.p_signal[: given["n_samples"], columns].T)  # whole microvolts
if np.isnan(x).any() or x.shape[1] < given["n_samples"]:
    sys.exit(f"the model wants {given['n_samples']} samples, of which none is missing")
if given["filter"]["name"] == "bandpass":
    sections = signal.butter(settings["order"], settings["band_hz"], "bandpass", fs=rate, output="sos")
    x = signal.sosfiltfilt(sections, x, padlen=min(x.shape[1] - 1, 3 * rate))
elif given["filter"]["name"] == "median":
    sizes = [2 * round(window_s * rate / 2) + 1 for window_s in settings["windows_s"]]
    once = ndimage.median_filter(x, size=(1, sizes[0]), mode="nearest")
    x = x - ndimage.median_filter(once, size=(1, sizes[1]), mode="nearest")
fed = {"ecg": (np.rint(x) / 1000)[None].astype(np.float32)}
if given["features"]:
    print("without the hand-crafted features of `python -m search predict`", file=sys.stderr)
    fed["features_in"] = np.full((1, len(given["features"])), np.nan, np.float32)
(answer,) = onnxruntime.InferenceSession(str(folder / "model.onnx")).run(["probabilities"], fed)[0]
for p, each in sorted(zip(answer, tier["classes"], strict=True), key=lambda pair: -pair[0]):
    least = max(answer) if tier["exclusive"] else each["thresholds"]["f1"]  # * most probable, or best F1
    print(f"{p:.3f} {'*' if least is not None and p >= least else ' '} {each['name']}")
