"""A skipped test is a failure: what is not run is not known to work. Long ones go first."""

import gc
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["server_fixtures", "sftp_fixtures", "postgres_fixtures"]

# Of all tests of hypothesis. No clock decides, since a machine may be busy.
UNTIMED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None)
settings.register_profile("fixed", UNTIMED, derandomize=True)  # the same examples each time
settings.register_profile(  # hypothesis takes the same each time where $CI is set, unless told
    "nightly", UNTIMED, max_examples=1000, print_blob=True, derandomize=False
)
settings.load_profile("fixed")  # `--hypothesis-profile nightly` loads the other


@pytest.fixture(scope="session", autouse=True)
def _whole_session() -> Iterator[None]:
    """Let what the last tests left open fail one of them: later, xdist tells nobody."""
    yield
    gc.collect()


@pytest.hookimpl(trylast=True)  # once it is known which tests run
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with the longest, if tests run side by side: else one process ends long after others.

    What xdist keeps together, a class or file, is long if it is marked so, or has many tests.
    """
    if not hasattr(config, "workerinput"):
        return
    n_tests = Counter(together(item) for item in items)
    long = {together(item) for item in items if item.get_closest_marker("long")}
    items.sort(key=lambda item: (together(item) not in long, -n_tests[together(item)]))


def together(item: pytest.Item) -> str:
    """Return the name of what xdist keeps together with a test."""
    return item.nodeid.rpartition("::")[0]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--allow-skips`, for a machine that lacks something, and `--seed`, for other numbers."""
    parser.addoption("--allow-skips", action="store_true", help="do not fail if tests are skipped")
    parser.addoption("--seed", type=int, default=0, help="what random choices of tests depend on")


@pytest.fixture(scope="session")
def seed(request: pytest.FixtureRequest) -> int:
    """What a test adds to each seed of its own: 0, unless `--seed` says otherwise."""
    return int(request.config.getoption("--seed"))


def pytest_report_header(config: pytest.Config) -> str:
    """Say what it takes to repeat random choices."""
    return f"seed: {config.getoption('--seed')}"


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say how many tests ran and how many were skipped, also if none were."""
    outcomes = ("passed", "failed", "error", "xfailed", "xpassed")
    ran = sum(len(terminalreporter.stats.get(outcome, ())) for outcome in outcomes)
    skipped = skipped_tests(config)
    terminalreporter.write_line(f"tests run: {ran}, skipped: {skipped}")
    if skipped and not config.getoption("--allow-skips"):
        terminalreporter.write_line("FAILED: tests were skipped (--allow-skips permits it)")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Turn a good end into a failure if anything was skipped."""
    nothing_failed = exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
    if nothing_failed and skipped_tests(session.config):
        if session.config.getoption("--allow-skips"):
            return
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def skipped_tests(config: pytest.Config) -> int:
    """Count what the terminal reporter saw skipped."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    return len(reporter.stats.get("skipped", ())) if reporter else 0
