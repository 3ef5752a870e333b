from reembed.ledger.notes import PlanProgress, sum_notes


def test_notes_of_several_workers_add_up_and_damage_is_left_out(run_dir):
    workers = [PlanProgress(run_dir, "p") for _ in range(2)]
    workers[0].add(3, 9)
    workers[0].add(1, 1)
    workers[0].tell(last=True)
    workers[1].add(2, 4)
    run_dir.storage.put(run_dir.layout.plan_progress("p", "broken"), b"{")
    notes = run_dir.notes(run_dir.layout.plan_progress("p"))
    assert sorted(note["items"] for note in notes) == [2, 4]
    assert sum_notes(notes) == {"items": 6, "chunks": 14}


def test_numbers_in_maps_are_added_by_their_names():
    notes = [
        {"schema": 1, "rows": 2, "shards": {"settled": 1}, "ended": True},
        {"schema": 1, "rows": 3, "shards": {"settled": 2, "queued": 1}, "failed": "x"},
    ]
    assert sum_notes(notes) == {"rows": 5, "shards.settled": 3, "shards.queued": 1}
