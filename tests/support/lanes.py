"""A lane in a process of its own: importable by name, so that a spawned process finds it."""

from reembed.driver.session import Session, drive_lane


def drive(session: Session, number: int, lanes: int) -> None:
    """Drive every `lanes`-th shard of a committed run."""
    for _ in drive_lane(session, number, lanes):
        pass
