"""How often a lane says how far it is."""

from reembed.driver.progress import pause_after


def test_a_young_lane_tells_every_two_seconds_and_an_old_one_twice_a_minute():
    assert [pause_after(age) for age in (0, 240, 600, 3600, 1e7)] == [2, 2, 5, 30, 30]
