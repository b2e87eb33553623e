"""Threads and processes: in order, bounded, and none at work when its request ends."""

from strax_core.concurrency.backoff import Backoff
from strax_core.concurrency.bounded import Budget, Queue
from strax_core.concurrency.crew import WorkSharing
from strax_core.concurrency.delayed_calls import THREAD_NAME, DelayedCalls
from strax_core.concurrency.each_run import RUNS_AT_ONCE, for_each_run
from strax_core.concurrency.executors import Workers, n_workers, workers
from strax_core.concurrency.futures import Cancelled, WaitGroup
from strax_core.concurrency.in_flight import BUFFER_BYTES, InFlight
from strax_core.concurrency.ordered import Job, in_order

__all__ = [
    "BUFFER_BYTES",
    "RUNS_AT_ONCE",
    "THREAD_NAME",
    "Backoff",
    "Budget",
    "Cancelled",
    "DelayedCalls",
    "InFlight",
    "Job",
    "Queue",
    "WaitGroup",
    "WorkSharing",
    "Workers",
    "for_each_run",
    "in_order",
    "n_workers",
    "workers",
]
