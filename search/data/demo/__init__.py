"""Synthetic 12-lead ECGs in PTB-XL's layout, for machines without PTB-XL.

`write_demo` writes a data set; `synthesise_record` computes one recording. The signals are sums of Gaussian
waves of a dipole in three dimensions, projected by Dower's matrix; each SCP statement changes the beat or the
rhythm by its clinical criterion. They suffice to compare architectures and are of no medical use.

scp_statements.csv is PTB-XL's own file, unchanged (Wagner et al., PTB-XL 1.0.3, PhysioNet,
https://doi.org/10.13026/kfzx-aw45; CC BY 4.0).
"""

from search.data.demo.dipole import LEADS, quantise, twelve_leads
from search.data.demo.records import synthesise_record
from search.data.demo.tables import DEVICE
from search.data.demo.writer import write_demo

__all__ = ["DEVICE", "LEADS", "quantise", "synthesise_record", "twelve_leads", "write_demo"]
