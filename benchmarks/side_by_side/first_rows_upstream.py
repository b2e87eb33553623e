"""A user's script: the first rows of a stored piece."""

import sys

import strax
from simulation import dtype_of

place, data_type = sys.argv[1:]


@strax.takes_config(strax.Option("version_of_gains", default="v1"))
class Simulated(strax.Plugin):  # type: ignore[misc]
    """Made earlier."""

    provides = data_type
    depends_on = ()
    dtype = dtype_of(data_type)


chunks = strax.Context(place, register=[Simulated]).get_iter("run_0", data_type)
print("rows", next(chunks).data["time"][0], flush=True)
chunks.close()
