"""A user's script: the first rows of a stored piece."""

import sys

from simulation import dtype_of

import strax_core as sc

place, data_type = sys.argv[1:]


@sc.takes_config(sc.Option("version_of_gains", default="v1"))
class Simulated(sc.Plugin):
    """Made earlier."""

    provides = data_type
    dtype = dtype_of(data_type)


chunks = sc.Context(place, [Simulated]).get_iter("run_0", data_type)
print("rows", next(chunks).data["time"][0], flush=True)
chunks.close()
