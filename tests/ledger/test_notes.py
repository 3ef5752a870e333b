from reembed.ledger.notes import PlanProgress, read_notes, sum_notes
from reembed.storage.open import open_storage


def test_notes_of_several_workers_add_up_and_damage_is_left_out(layout):
    storage = open_storage()
    workers = [PlanProgress(storage, layout, "p") for _ in range(2)]
    workers[0].add(3, 9)
    workers[0].add(1, 1)
    workers[0].tell(last=True)
    workers[1].add(2, 4)
    storage.put(layout.plan_progress("p", "broken"), b"{")
    notes = read_notes(storage, layout.plan_progress("p"))
    assert sorted(note["items"] for note in notes) == [2, 4]
    assert sum_notes(notes) == {"items": 6, "chunks": 14}


def test_numbers_in_maps_are_added_by_their_names():
    notes = [
        {"schema": 1, "rows": 2, "shards": {"settled": 1}, "ended": True},
        {"schema": 1, "rows": 3, "shards": {"settled": 2, "queued": 1}, "failed": "x"},
    ]
    assert sum_notes(notes) == {"rows": 5, "shards.settled": 3, "shards.queued": 1}
