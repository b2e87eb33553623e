"""What is promised, and what is aimed at: only a missed target makes a run fail."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """A limit of one number of the table."""

    at_least: float | None = None
    at_most: float | None = None
    aim: float | None = None

    def is_met_by(self, value: float) -> bool:
        """Say whether the number keeps the target."""
        return (self.at_least is None or value >= self.at_least) and (
            self.at_most is None or value <= self.at_most
        )

    def aim_is_met_by(self, value: float) -> bool:
        """Say whether it keeps the aim too, if there is one."""
        if self.aim is None:
            return self.is_met_by(value)
        return value >= self.aim if self.at_least is not None else value <= self.aim

    @property
    def text(self) -> str:
        """The target and the aim, as the table shows them."""
        limit = f"≥ {self.at_least:g}" if self.at_least is not None else f"≤ {self.at_most:g}"
        return limit if self.aim is None else f"{limit} (aim {self.aim:g})"


TARGETS = {
    "size": Target(at_most=0.65, aim=0.55),
    "size against zstd": Target(at_most=0.85),
    "save": Target(at_least=2, aim=3),
    "save with fsync": Target(at_least=1.6, aim=3),
    "load": Target(at_least=2.5, aim=4),
    "two columns": Target(at_least=10, aim=20),
    "part of the time": Target(at_least=10, aim=30),
    "table": Target(at_least=3, aim=6),
    "memory": Target(at_most=1.15, aim=1.05),
    "linear": Target(at_most=1.1),  # the exponent of the growth from 1000 chunks to 10,000
    "availability against is_stored": Target(at_least=10, aim=100),
    "availability against find_several": Target(at_least=4, aim=100),
    "fuzzy": Target(at_least=100, aim=500),
    "limit": Target(at_most=2, aim=1.3),
    "start": Target(at_most=0.6),
    "not slower": Target(at_least=1),
    "not larger": Target(at_most=1),
}
