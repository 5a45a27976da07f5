"""What every store promises, on an SQLite file, in memory and on PostgreSQL."""

import asyncio
import json

import pytest
from samples import DAY, NOW, conversation, events, item, items, record

from shim.errors import ClientFault
from shim.store.faults import QueueFull
from shim.store.histories import IDS_AT_ONCE
from shim.store.records import UNCONFIRMED, Claim, Queue, Window, item_of, record_of


def ids(page):
    return [one.id for one in page.items]


class TestResponses:
    async def test_a_saved_response_is_found_as_it_was_given(self, store):
        saved = record(previous_response_id="resp_0", conversation_id=None, version=1)
        assert await store.responses.save(saved)
        found = await store.responses.get("alice", "resp_1")
        for name in ("owner", "id", "created_at", "status", "model", "served_model", "envelope", "output"):
            assert getattr(found, name) == getattr(saved, name)
        assert (found.previous_response_id, found.version, found.events) == ("resp_0", 1, "none")

    async def test_the_body_is_the_envelope_with_its_output(self, store):
        response = {
            "id": "resp_1",
            "created_at": NOW,
            "status": "completed",
            "model": "gpt-5",
            "previous_response_id": None,
            "output": [{"id": "msg_1", "type": "message"}, {"id": "msg_2", "type": "message"}],
            "metadata": {"a": "\N{SNOWMAN}"},
        }
        await store.responses.save(record_of("alice", response, [item_of({"id": "in_1", "type": "message"})]))
        assert json.loads((await store.responses.get("alice", "resp_1")).body) == response

    async def test_a_response_without_output_has_an_empty_list(self, store):
        await store.responses.save(record(envelope=b"{ }", output=()))
        assert (await store.responses.get("alice", "resp_1")).body == b'{"output":[]}'

    async def test_another_owner_finds_nothing(self, store):
        await store.responses.save(record())
        assert await store.responses.get("bob", "resp_1") is None
        assert await store.responses.chain("bob", "resp_1", 10) is None
        assert await store.responses.input_items("bob", "resp_1", Window()) is None
        assert await store.responses.items_by_id("bob", ["resp_1_in", "resp_1_out"]) == {}
        assert await store.events.read("bob", "resp_1", -1, 10) is None
        assert await store.events.append("bob", "resp_1", events(0, 1)) == "gone"
        assert not await store.responses.delete("bob", "resp_1")
        assert await store.responses.get("alice", "resp_1") is not None

    async def test_two_owners_may_have_the_same_id(self, store):
        await store.responses.save(record(owner="alice"))
        await store.responses.save(record(owner="bob", model="other"))
        assert (await store.responses.get("alice", "resp_1")).model == "gpt-5"
        assert (await store.responses.get("bob", "resp_1")).model == "other"

    async def test_saving_again_replaces_everything(self, store):
        await store.responses.save(record(status="in_progress", input=items("a", "b", "c"), output=()))
        await store.responses.save(record(input=items("d"), output=items("e")))
        found = await store.responses.get("alice", "resp_1")
        assert (found.status, found.output) == ("completed", items("e"))
        assert ids(await store.responses.input_items("alice", "resp_1", Window())) == ["d"]
        assert list(await store.responses.items_by_id("alice", "abcde")) == ["d", "e"]

    async def test_a_deleted_response_stays_deleted_when_only_replacing(self, store):
        await store.responses.save(record(status="in_progress"))
        assert await store.responses.save(record(status="in_progress"), existing=True)
        await store.responses.delete("alice", "resp_1")
        assert not await store.responses.save(record(), existing=True, events=events(0, 3))
        assert await store.responses.get("alice", "resp_1") is None

    async def test_deleting_leaves_nothing_behind(self, store):
        await store.responses.save(record(), events=events(0, 9))
        await store.jobs.enqueue(record("resp_2"), b"{}")
        assert await store.responses.delete("alice", "resp_1")
        assert await store.responses.delete("alice", "resp_2")
        assert not await store.responses.delete("alice", "resp_1")
        stats = await store.stats()
        assert (stats.responses, stats.items, stats.events, stats.jobs, stats.size) == (0, 0, 0, 0, 0)
        assert await store.responses.items_by_id("alice", ["resp_1_in"]) == {}

    async def test_strings_that_no_database_takes_do_no_harm(self, store):
        odd = "nul\0 lone\ud800 " + "long" * 1000
        await store.responses.save(record("resp_1", model=odd, input=(item("x"),)))
        assert await store.responses.get("alice", odd) is None
        assert await store.responses.items_by_id("alice", [odd, "x"]) == {"x": item("x").body}
        with pytest.raises(ClientFault):
            await store.responses.input_items("alice", "resp_1", Window(after=odd))

    async def test_a_cancelled_caller_breaks_nothing(self, store):
        async def save(number):
            await store.responses.save(record(f"resp_{number}"))

        tasks = [asyncio.create_task(save(number)) for number in range(20)]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for number in range(1, 20, 2):
            assert await store.responses.get("alice", f"resp_{number}") is not None

    async def test_many_saves_at_once_all_arrive(self, store):
        await asyncio.gather(*(store.responses.save(record(f"resp_{number}")) for number in range(100)))
        assert (await store.stats()).responses == 100


class TestChains:
    async def test_a_chain_comes_oldest_first_with_its_own_items(self, store):
        await store.responses.save(record("a", input=items("1", "2"), output=items("3")))
        await store.responses.save(record("b", previous_response_id="a", input=items("4"), output=()))
        await store.responses.save(record("c", previous_response_id="b", input=(), output=items("6", "7")))
        chain = await store.responses.chain("alice", "c", 10)
        assert [turn.id for turn in chain.turns] == ["a", "b", "c"]
        bodies = [(turn.input, turn.output) for turn in chain.turns]
        one, two, three, four, six, seven = (item(name).body for name in "123467")
        assert bodies == [((one, two), (three,)), ((four,), ()), ((), (six, seven))]
        assert chain.missing is None

    async def test_branches_share_their_parent(self, store):
        await store.responses.save(record("a"))
        for name in ("b", "c"):
            await store.responses.save(record(name, previous_response_id="a"))
        for name in ("b", "c"):
            chain = await store.responses.chain("alice", name, 10)
            assert [turn.id for turn in chain.turns] == ["a", name]

    async def test_a_chain_of_500_turns_is_whole(self, store):
        for number in range(500):
            before = f"resp_{number - 1}" if number else None
            await store.responses.save(record(f"resp_{number}", previous_response_id=before))
        chain = await store.responses.chain("alice", "resp_499", 1000)
        assert [turn.id for turn in chain.turns] == [f"resp_{number}" for number in range(500)]
        assert chain.missing is None

    async def test_a_limited_chain_says_what_is_missing(self, store):
        for name, before in (("a", None), ("b", "a"), ("c", "b")):
            await store.responses.save(record(name, previous_response_id=before))
        chain = await store.responses.chain("alice", "c", 2)
        assert ([turn.id for turn in chain.turns], chain.missing) == (["b", "c"], "a")

    async def test_a_chain_with_a_deleted_turn_says_so(self, store):
        for name, before in (("a", None), ("b", "a"), ("c", "b")):
            await store.responses.save(record(name, previous_response_id=before))
        await store.responses.delete("alice", "b")
        chain = await store.responses.chain("alice", "c", 10)
        assert ([turn.id for turn in chain.turns], chain.missing) == (["c"], "b")

    async def test_a_chain_never_crosses_to_another_owner(self, store):
        await store.responses.save(record("a", owner="bob"))
        await store.responses.save(record("b", previous_response_id="a"))
        chain = await store.responses.chain("alice", "b", 10)
        assert ([turn.id for turn in chain.turns], chain.missing) == (["b"], "a")

    async def test_a_circle_ends_at_the_limit(self, store):
        await store.responses.save(record("a", previous_response_id="a"))
        assert len((await store.responses.chain("alice", "a", 7)).turns) == 7


class TestItems:
    @pytest.mark.parametrize(
        ("window", "expected", "more"),
        [
            (Window(order="asc"), "abcde", False),
            (Window(), "edcba", False),
            (Window(limit=2, order="asc"), "ab", True),
            (Window(limit=2), "ed", True),
            (Window(limit=5, order="asc"), "abcde", False),
            (Window(limit=None, order="asc"), "abcde", False),
            (Window(limit=2, order="asc", after="b"), "cd", True),
            (Window(limit=2, order="desc", after="b"), "a", False),
            (Window(limit=2, order="asc", before="d"), "bc", True),
            (Window(limit=2, order="desc", before="b"), "dc", True),
            (Window(order="asc", after="a", before="d"), "bc", False),
            (Window(limit=0, order="asc"), "", True),
        ],
    )
    async def test_input_items_come_in_pages(self, store, window, expected, more):
        await store.responses.save(record(input=items(*"abcde")))
        page = await store.responses.input_items("alice", "resp_1", window)
        assert ("".join(ids(page)), page.has_more) == (expected, more)

    async def test_an_unknown_cursor_is_the_clients_fault(self, store):
        await store.responses.save(record())
        for window in (Window(after="none"), Window(before="resp_1_out")):
            with pytest.raises(ClientFault, match="No item with id"):
                await store.responses.input_items("alice", "resp_1", window)

    async def test_items_are_found_by_id_wherever_they_are(self, store):
        await store.responses.save(record("a", input=items("1", "2"), output=items("3")))
        await store.conversations.create(conversation(), items("4"))
        found = await store.responses.items_by_id("alice", ["4", "1", "3", "unknown", "3"])
        assert found == {name: item(name).body for name in "134"}

    async def test_items_are_found_by_ids_that_are_too_long_for_an_index(self, store):
        names = ["m" * 300, "m" * 301, "\u00e9" * 300]
        await store.responses.save(record("a", input=items(*names[:2])))
        await store.conversations.create(conversation(), items(names[2]))
        found = await store.responses.items_by_id("alice", [*names, "m" * 302])
        assert found == {name: item(name).body for name in names}

    async def test_output_wins_over_input_and_new_over_old(self, store):
        await store.responses.save(record("a", input=(item("x", "old"), item("y", "input")), output=()))
        await store.responses.save(record("b", input=(), output=(item("y", "output"),)))
        await store.responses.save(record("c", input=(item("x", "new"), item("y", "input")), output=()))
        found = await store.responses.items_by_id("alice", ["x", "y"])
        assert found == {"x": item("x", "new").body, "y": item("y", "output").body}

    async def test_a_thousand_ids_are_one_question(self, store):
        names = [f"i{number}" for number in range(1200)]
        await store.responses.save(record(input=items(*names)))
        assert list(await store.responses.items_by_id("alice", names)) == names

    async def test_nothing_is_looked_up_long_after_an_id_that_is_unknown(self, store):
        names = [f"i{number}" for number in range(1200)]
        await store.responses.save(record(input=items(*names)))
        assert (
            list(await store.responses.items_by_id("alice", ["unknown", *names])) == names[: IDS_AT_ONCE - 1]
        )


class TestEvents:
    async def test_events_are_read_after_a_number(self, store):
        await store.responses.save(record(status="in_progress"))
        assert await store.events.append("alice", "resp_1", events(0, 4)) == "kept"
        assert await store.events.append("alice", "resp_1", events(5, 9)) == "kept"
        assert await store.events.append("alice", "resp_1", []) == "kept"
        everything = await store.events.read("alice", "resp_1", -1, 100)
        assert (list(everything.events), everything.status) == (events(0, 9), "in_progress")
        assert list((await store.events.read("alice", "resp_1", 3, 2)).events) == events(4, 5)
        assert (await store.responses.get("alice", "resp_1")).events == "whole"

    async def test_the_last_events_come_with_the_terminal_status(self, store):
        await store.responses.save(record(status="in_progress"), events=events(0, 1))
        await store.responses.save(record(), existing=True, events=events(2, 3))
        page = await store.events.read("alice", "resp_1", 1, 100)
        assert (list(page.events), page.status, page.cut) == (events(2, 3), "completed", False)

    async def test_events_sent_twice_are_kept_once(self, store):
        await store.responses.save(record())
        for _ in range(2):
            assert await store.events.append("alice", "resp_1", events(0, 2)) == "kept"
        assert list((await store.events.read("alice", "resp_1", -1, 10)).events) == events(0, 2)

    async def test_events_count_once_and_only_while_they_are_kept(self, url, opened):
        """A write is carried through though its caller is cancelled, who then sends the same again, and what follows."""
        room = sum(len(event.body) for event in events(0, 5))
        store = await opened(url, stream_max_bytes=room)
        await store.responses.save(record())
        empty = (await store.stats()).size
        for batch in (events(0, 2), events(0, 2), events(1, 3), events(3, 5)):
            assert await store.events.append("alice", "resp_1", batch) == "kept"
        assert (await store.stats()).size == empty + room
        for batch in (events(6, 9), events(8, 9), events(9, 12)):
            assert await store.events.append("alice", "resp_1", batch) == "full"
        assert (await store.stats()).size == empty + room
        assert list((await store.events.read("alice", "resp_1", -1, 100)).events) == events(0, 5)

    async def test_a_stream_that_is_too_large_at_once_counts_nothing(self, url, opened):
        store = await opened(url, stream_max_bytes=1)
        await store.responses.save(record())
        empty = (await store.stats()).size
        assert await store.events.append("alice", "resp_1", events(0, 2)) == "full"
        assert ((await store.stats()).size, (await store.stats()).events) == (empty, 0)

    async def test_above_the_size_bound_nothing_more_is_kept(self, url, opened):
        store = await opened(url, stream_max_bytes=60)
        await store.responses.save(record())
        assert await store.events.append("alice", "resp_1", events(0, 1)) == "kept"
        assert await store.events.append("alice", "resp_1", events(2, 9)) == "full"
        assert await store.events.append("alice", "resp_1", events(10, 10)) == "full"
        page = await store.events.read("alice", "resp_1", -1, 10)
        assert (list(page.events), page.cut) == (events(0, 1), True)
        assert (await store.responses.get("alice", "resp_1")).events == "cut"

    async def test_events_of_an_unknown_response_go_nowhere(self, store):
        assert await store.events.append("alice", "resp_1", events(0, 1)) == "gone"
        assert await store.events.read("alice", "resp_1", -1, 10) is None


class TestJobs:
    async def test_a_waiting_job_goes_to_one_worker(self, store):
        await store.jobs.enqueue(record(status="queued"), b'{"model":"x"}', sealed_key=b"sealed")
        (job,) = await store.jobs.claim(Claim("w1", NOW + 30))
        assert (job.owner, job.response_id, job.request, job.sealed_key) == (
            "alice",
            "resp_1",
            b'{"model":"x"}',
            b"sealed",
        )
        assert (job.worker, job.until, job.attempt, job.cancelled, job.last_event) == (
            "w1",
            NOW + 30,
            1,
            False,
            None,
        )
        assert await store.jobs.claim(Claim("w2", NOW + 30)) == ()

    async def test_jobs_go_out_oldest_first(self, store):
        for name in "abc":
            await store.jobs.enqueue(record(name, status="queued"), b"{}")
        claimed = await store.jobs.claim(Claim("w1", NOW), limit=2)
        assert [job.response_id for job in claimed] == ["a", "b"]

    async def test_owners_take_turns(self, store):
        for name in "abcd":
            await store.jobs.enqueue(record(name, status="queued"), b"{}")
        await store.jobs.enqueue(record("e", owner="bob", status="queued"), b"{}")
        claimed = await store.jobs.claim(Claim("w1", NOW), limit=2)
        assert [job.response_id for job in claimed] == ["a", "e"]
        await store.jobs.enqueue(record("f", owner="carol", status="queued"), b"{}")
        claimed = await store.jobs.claim(Claim("w1", NOW), limit=1)
        assert [job.response_id for job in claimed] == ["f"]

    async def test_no_worker_takes_more_of_one_owner_than_it_may(self, store):
        for name in "abcd":
            await store.jobs.enqueue(record(name, status="queued"), b"{}")
        for worker, taken in (("w1", ["a", "b"]), ("w1", []), ("w2", ["c", "d"])):
            claimed = await store.jobs.claim(Claim(worker, NOW + 30), limit=9, most_of_one=2)
            assert [job.response_id for job in claimed] == taken

    async def test_a_job_may_be_claimed_by_who_makes_it(self, store):
        job = await store.jobs.enqueue(record(status="queued"), b"{}", claim=Claim("w1", NOW + 30))
        assert await store.jobs.claim(Claim("w2", NOW + 30)) == ()
        assert await store.jobs.renew(job.lease, NOW + 60) == "held"

    async def test_a_waiting_job_ends_under_nobodys_lease_until_it_is_claimed(self, store):
        for name in ("resp_1", "resp_2"):
            await store.jobs.enqueue(record(name, status="queued"), b"{}")
        assert await store.jobs.waiting("bob", "resp_1") is None
        first, second = [await store.jobs.waiting("alice", name) for name in ("resp_1", "resp_2")]
        assert await store.responses.save(record(status="cancelled"), lease=first.lease, events=events(0, 1))
        assert (await store.responses.get("alice", "resp_1")).status == "cancelled"
        (claimed,) = await store.jobs.claim(Claim("w1", NOW + 30), 9)
        assert claimed.response_id == "resp_2"
        assert await store.jobs.waiting("alice", "resp_2") is None
        assert not await store.responses.save(record("resp_2", status="cancelled"), lease=second.lease)
        assert await store.jobs.renew(claimed.lease, NOW + 60) == "held"

    async def test_a_lease_expires_and_another_worker_takes_over(self, store):
        job = await store.jobs.enqueue(record(status="queued"), b"{}", claim=Claim("w1", NOW + 30))
        assert await store.jobs.claim_abandoned(Claim("w2", NOW + 60), NOW + 29) == ()
        (taken,) = await store.jobs.claim_abandoned(Claim("w2", NOW + 60), NOW + 30)
        assert (taken.attempt, taken.last_event) == (2, None)
        assert await store.jobs.renew(job.lease, NOW + 90) == "lost"
        assert await store.jobs.renew(taken.lease, NOW + 90) == "held"
        assert await store.jobs.claim_abandoned(Claim("w3", NOW + 120), NOW + 60) == ()

    async def test_a_replaced_worker_writes_nothing(self, store):
        job = await store.jobs.enqueue(record(status="queued"), b"{}", claim=Claim("w1", NOW + 30))
        await store.events.append("alice", "resp_1", events(0, 2), lease=job.lease)
        (taken,) = await store.jobs.claim_abandoned(Claim("w1", NOW + 60), NOW + 30)
        assert taken.last_event == 2
        assert await store.events.append("alice", "resp_1", events(3, 4), lease=job.lease) == "gone"
        assert not await store.responses.save(record(), lease=job.lease)
        assert not await store.jobs.finish(job.lease)
        assert (await store.responses.get("alice", "resp_1")).status == "queued"
        assert await store.responses.save(record(status="failed"), lease=taken.lease, events=events(3, 4))
        assert list((await store.events.read("alice", "resp_1", -1, 10)).events) == events(0, 4)

    async def test_a_terminal_response_finishes_its_job(self, store):
        job = await store.jobs.enqueue(record(status="queued"), b"{}", claim=Claim("w1", NOW + 30))
        assert await store.responses.save(record(status="in_progress"), lease=job.lease)
        assert (await store.stats()).jobs == 1
        assert await store.responses.save(record(status="completed"), lease=job.lease)
        assert (await store.stats()).jobs == 0
        assert await store.jobs.renew(job.lease, NOW + 60) == "lost"

    async def test_a_job_is_cancelled_through_its_worker(self, store):
        job = await store.jobs.enqueue(record(status="queued"), b"{}", claim=Claim("w1", NOW + 30))
        assert not await store.jobs.cancelled("alice", "resp_1")
        assert not await store.jobs.cancel("bob", "resp_1")
        assert await store.jobs.cancel("alice", "resp_1")
        assert await store.jobs.cancelled("alice", "resp_1")
        assert await store.jobs.renew(job.lease, NOW + 60) == "cancelled"
        assert await store.jobs.finish(job.lease)
        assert not await store.jobs.cancel("alice", "resp_1")
        assert await store.jobs.cancelled("alice", "resp_1")

    async def test_a_deleted_response_takes_its_job_along(self, store):
        job = await store.jobs.enqueue(record(status="queued"), b"{}", claim=Claim("w1", NOW + 30))
        await store.responses.delete("alice", "resp_1")
        assert await store.jobs.renew(job.lease, NOW + 60) == "lost"
        assert not await store.responses.save(record(), lease=job.lease)
        assert await store.responses.get("alice", "resp_1") is None

    async def test_a_deleted_response_gives_its_turn_back_and_no_other_one(self, store):
        await store.conversations.create(conversation())
        for name in ("resp_1", "resp_2"):
            await store.jobs.enqueue(record(name, status="queued", conversation_id="conv_1"), b"{}")
        await store.conversations.lock("alice", "conv_1", Claim("resp_1", NOW + 60), NOW)
        next_turn = "alice", "conv_1", Claim("next", NOW + 60), NOW
        assert await store.responses.delete("alice", "resp_2")
        assert await store.conversations.lock(*next_turn) == "held"
        assert await store.responses.delete("alice", "resp_1")
        assert await store.conversations.lock(*next_turn) == "locked"

    async def test_jobs_claimed_at_once_go_out_once(self, store):
        for number in range(40):
            await store.jobs.enqueue(record(f"resp_{number}", status="queued"), b"{}")
        claims = (store.jobs.claim(Claim(f"w{number}", NOW), limit=5) for number in range(12))
        claimed = [job.response_id for jobs in await asyncio.gather(*claims) for job in jobs]
        while more := await store.jobs.claim(Claim("w", NOW), limit=5):
            claimed += [job.response_id for job in more]  # a claim passes over what others hold locked
        assert sorted(claimed) == sorted(f"resp_{number}" for number in range(40))

    async def test_leases_and_locks_go_on_after_the_seconds_need_more_than_31_bits(self, store):
        late = 1 << 31
        await store.jobs.enqueue(record(status="queued"), b"{}", claim=Claim("w1", late + 30))
        assert await store.jobs.claim_abandoned(Claim("w2", late + 60), late + 29) == ()
        (taken,) = await store.jobs.claim_abandoned(Claim("w2", late + 60), late + 30)
        assert await store.jobs.renew(taken.lease, late + 90) == "held"
        await store.conversations.create(conversation())
        one, two = Claim("turn1", late + 60), Claim("turn2", late + 60)
        assert await store.conversations.lock("alice", "conv_1", one, late) == "locked"
        assert await store.conversations.lock("alice", "conv_1", two, late) == "held"

    async def test_an_owner_has_room_for_so_many_jobs_and_bytes_of_requests(self, store):
        async def enqueue(name, request, queue, owner="alice"):
            await store.jobs.enqueue(record(name, owner=owner, status="queued"), request, queue=queue)

        await enqueue("a", b"1234", Queue(1, 4))
        for queue in (Queue(1, 99), Queue(9, 7)):
            with pytest.raises(QueueFull) as refused:
                await enqueue("b", b"5678", queue)
            assert (refused.value.status, refused.value.code) == (503, "concurrency_limit_exceeded")
            assert await store.responses.get("alice", "b") is None
        await enqueue("c", b"1234", Queue(1, 4), owner="bob")
        await enqueue("b", b"5678", Queue(2, 8))
        await store.responses.delete("alice", "a")
        await enqueue("d", b"1234", Queue(2, 8))

    @pytest.mark.parametrize("claimed", [True, False])
    async def test_nobody_begins_a_job_that_is_not_confirmed(self, store, claimed):
        made = await store.jobs.enqueue(record(), b"{}", claim=Claim("w1", NOW + 30, confirmed=False))
        assert await store.jobs.claim(Claim("w2", NOW + 60)) == ()
        assert await store.jobs.claim_abandoned(Claim("w2", NOW + 60), NOW + 29) == ()
        for _ in range(2):  # whoever does not know whether it was confirmed says so again
            confirmed = await store.jobs.confirm(made, Claim("w1", NOW + 40) if claimed else None)
            assert confirmed or not claimed
        if claimed:
            assert (confirmed.worker, confirmed.until, confirmed.attempt) == ("w1", NOW + 40, 1)
            assert await store.jobs.renew(confirmed.lease, NOW + 50) == "held"
            assert await store.jobs.renew(made.lease, NOW + 50) == "lost"
        else:
            (job,) = await store.jobs.claim(Claim("w2", NOW + 60))
            assert (job.worker, job.attempt) == ("w2", 1)
            assert await store.jobs.confirm(made) is None

    async def test_an_unconfirmed_job_that_is_left_was_attempted_too_often(self, store):
        made = await store.jobs.enqueue(record(), b"{}", claim=Claim("w1", NOW + 30, confirmed=False))
        (job,) = await store.jobs.claim_abandoned(Claim("w2", NOW + 60), NOW + 30)
        assert job.attempt > UNCONFIRMED
        assert await store.jobs.confirm(made, Claim("w1", NOW + 60)) is None
        (job,) = await store.jobs.claim_abandoned(Claim("w3", NOW + 90), NOW + 60)
        assert job.attempt > UNCONFIRMED


class TestConversations:
    async def test_a_conversation_is_kept_with_its_metadata(self, store):
        await store.conversations.create(conversation(metadata=b'{"a":  "b"}'))
        assert await store.conversations.get("alice", "conv_1") == conversation(metadata=b'{"a":  "b"}')
        changed = conversation(metadata=b"{}")
        assert await store.conversations.update("alice", "conv_1", b"{}", NOW + 1) == changed
        assert await store.conversations.get("alice", "conv_1") == changed

    async def test_another_owner_finds_no_conversation(self, store):
        await store.conversations.create(conversation(), items("a"))
        theirs = ("bob", "conv_1")
        assert await store.conversations.get(*theirs) is None
        assert await store.conversations.update(*theirs, b"{}", NOW) is None
        assert await store.conversations.items(*theirs, Window()) is None
        assert await store.conversations.item(*theirs, "a") is None
        assert not await store.conversations.append(*theirs, items("b"), NOW)
        assert not await store.conversations.delete_item(*theirs, "a")
        assert not await store.conversations.delete(*theirs)
        assert await store.conversations.lock(*theirs, Claim("t", NOW + 1), NOW) == "missing"

    async def test_a_conversation_is_deleted_once(self, store):
        await store.conversations.create(conversation(), items("a"))
        assert await store.conversations.delete("alice", "conv_1")
        assert not await store.conversations.delete("alice", "conv_1")
        assert await store.conversations.get("alice", "conv_1") is None
        assert not await store.conversations.append("alice", "conv_1", items("b"), NOW)
        assert (await store.stats()).conversation_items == 0

    async def test_items_are_appended_in_order_and_once(self, store):
        await store.conversations.create(conversation(), items("a", "b"))
        with pytest.raises(ClientFault, match="'a' already exists") as refused:
            await store.conversations.append("alice", "conv_1", items("c", "a", "d"), NOW)
        assert (refused.value.status, refused.value.param) == (400, "items[1].id")
        assert await store.conversations.append("alice", "conv_1", items("c", "d"), NOW)
        page = await store.conversations.items("alice", "conv_1", Window(order="asc"))
        assert ids(page) == ["a", "b", "c", "d"]

    async def test_a_conversation_whose_items_share_an_id_is_not_made(self, store):
        with pytest.raises(ClientFault) as refused:
            await store.conversations.create(conversation(), items("a", "a"))
        assert refused.value.param == "items[1].id"
        assert await store.conversations.get("alice", "conv_1") is None

    async def test_the_size_counts_the_items_that_are_there(self, store):
        await store.conversations.create(conversation(), items("a", "b"))
        turn = record(conversation_id="conv_1", input=items("b"), output=items("c"))
        await store.responses.save(turn)
        assert (await store.stats()).size == turn.size + 2 + sum(len(item(name).body) for name in "abc")
        for name in "abca":
            await store.conversations.delete_item("alice", "conv_1", name)
        assert (await store.stats()).size == turn.size + 2

    async def test_paging_is_stable_while_items_are_added(self, store):
        await store.conversations.create(conversation(), items(*"abcdef"))
        seen, window = [], Window(limit=2)
        for added in "xyz":
            page = await store.conversations.items("alice", "conv_1", window)
            seen += ids(page)
            await store.conversations.append("alice", "conv_1", items(added), NOW)
            window = Window(limit=2, after=seen[-1])
        assert (seen, page.has_more) == (list("fedcba"), False)
        rising = await store.conversations.items("alice", "conv_1", Window(order="asc", after="f"))
        assert ids(rising) == ["x", "y", "z"]

    async def test_one_item_is_read_and_deleted(self, store):
        await store.conversations.create(conversation(), items("a", "b"))
        assert await store.conversations.item("alice", "conv_1", "a") == item("a")
        assert await store.conversations.delete_item("alice", "conv_1", "a")
        assert not await store.conversations.delete_item("alice", "conv_1", "a")
        assert await store.conversations.item("alice", "conv_1", "a") is None
        assert ids(await store.conversations.items("alice", "conv_1", Window())) == ["b"]

    async def test_one_turn_at_a_time_has_the_lock(self, store):
        await store.conversations.create(conversation())
        one, two = Claim("turn1", NOW + 60), Claim("turn2", NOW + 90)
        assert await store.conversations.lock("alice", "conv_1", one, NOW) == "locked"
        assert await store.conversations.lock("alice", "conv_1", two, NOW + 59) == "held"
        assert await store.conversations.lock("alice", "conv_1", one, NOW + 59) == "locked"
        assert await store.conversations.lock("alice", "conv_1", two, NOW + 60) == "locked"
        assert not await store.conversations.unlock("alice", "conv_1", "turn1")
        assert await store.conversations.unlock("alice", "conv_1", "turn2")
        assert await store.conversations.lock("alice", "conv_1", one, NOW) == "locked"

    async def test_turns_that_come_at_once_get_one_lock(self, store):
        await store.conversations.create(conversation())
        asked = [
            store.conversations.lock("alice", "conv_1", Claim(f"turn{number}", NOW + 60), NOW)
            for number in range(10)
        ]
        assert sorted(await asyncio.gather(*asked)) == ["held"] * 9 + ["locked"]

    async def test_a_completed_turn_joins_its_conversation(self, store):
        await store.conversations.create(conversation(), items("a"))
        turn = record(conversation_id="conv_1", input=items("b"), output=items("c", "d"))
        for status in ("in_progress", "failed", "completed", "completed"):
            await store.responses.save(
                record(conversation_id="conv_1", status=status, input=items("b"), output=())
            )
        await store.responses.save(turn)
        page = await store.conversations.items("alice", "conv_1", Window(order="asc"))
        assert ids(page) == ["a", "b", "c", "d"]
        await store.responses.delete("alice", "resp_1")
        assert len((await store.conversations.items("alice", "conv_1", Window())).items) == 4

    async def test_a_turn_of_a_deleted_conversation_is_still_saved(self, store):
        assert await store.responses.save(record(conversation_id="conv_gone"))
        assert (await store.responses.get("alice", "resp_1")).conversation_id == "conv_gone"


class TestPrompts:
    async def test_versions_are_numbered_and_the_latest_is_found(self, store):
        first = await store.prompts.put("alice", "greet", b'{"v": 1}', NOW)
        second = await store.prompts.put("alice", "greet", b'{"v": 2}', NOW + 1)
        assert (first.version, second.version) == (1, 2)
        assert await store.prompts.get("alice", "greet") == second
        assert await store.prompts.get("alice", "greet", 1) == first
        assert await store.prompts.get("alice", "greet", 3) is None
        assert await store.prompts.get("bob", "greet") is None

    async def test_a_named_version_is_replaced(self, store):
        await store.prompts.put("alice", "greet", b"1", NOW, version=7)
        await store.prompts.put("alice", "greet", b"2", NOW + 1, version=7)
        assert (await store.prompts.get("alice", "greet", 7)).template == b"2"
        assert (await store.prompts.put("alice", "greet", b"3", NOW)).version == 8

    async def test_prompts_are_listed_by_their_latest_version(self, store):
        for name in ("b", "a", "b"):
            await store.prompts.put("alice", name, b"{}", NOW)
        assert [(one.id, one.version) for one in await store.prompts.list("alice")] == [("a", 1), ("b", 2)]
        assert [one.version for one in await store.prompts.list("alice", "b")] == [1, 2]
        assert await store.prompts.list("bob") == ()

    async def test_prompts_are_deleted_by_version_or_whole(self, store):
        for _ in range(3):
            await store.prompts.put("alice", "greet", b"{}", NOW)
        assert await store.prompts.delete("alice", "greet", 2) == 1
        assert await store.prompts.delete("bob", "greet") == 0
        assert await store.prompts.delete("alice", "greet") == 2
        assert await store.prompts.get("alice", "greet") is None

    async def test_versions_stored_at_once_get_different_numbers(self, store):
        stored = await asyncio.gather(*(store.prompts.put("alice", "greet", b"{}", NOW) for _ in range(5)))
        assert sorted(one.version for one in stored) == [1, 2, 3, 4, 5]


class TestCalibrations:
    async def test_sums_give_a_ratio(self, store):
        assert await store.calibrations.get("code-max") is None
        await store.calibrations.record("code-max", 100, 150)
        await store.calibrations.record("code-max", 300, 450)
        for estimated, reported in ((0, 5), (5, 0), (-1, 4)):
            await store.calibrations.record("code-max", estimated, reported)
        found = await store.calibrations.get("code-max")
        assert (found.samples, found.estimated, found.reported, found.ratio) == (2, 400, 600, 1.5)

    async def test_old_samples_fade(self, store):
        for _ in range(1100):
            await store.calibrations.record("code-max", 10, 10)
        for _ in range(1100):
            await store.calibrations.record("code-max", 10, 20)
        found = await store.calibrations.get("code-max")
        assert found.samples < 1100
        assert 1.5 < found.ratio <= 2

    async def test_made_up_names_push_out_each_other_and_none_that_is_known(self, url, opened, monkeypatch):
        monkeypatch.setattr("shim.store.calibrations.MOST_INSTRUMENTS", 4)
        store = await opened(url)
        for name in ("code-max", "text-max"):
            for _ in range(2):
                await store.calibrations.record(name, 10, 20)
        made_up = [f"made-up-{number}" + "x" * 300 * (number % 2) for number in range(9)]
        for count, name in enumerate(made_up, 1):
            await store.calibrations.record(name, 10, 30)
            assert (await store.calibrations.get(name)).ratio == 3
            known = [await store.calibrations.get(name) for name in made_up]
            assert len([one for one in known if one]) == min(count, 2)
            for kept in ("code-max", "text-max"):
                assert (await store.calibrations.get(kept)).samples == 2

    async def test_a_new_instrument_is_learned_though_others_are_known_better(self, url, opened, monkeypatch):
        monkeypatch.setattr("shim.store.calibrations.MOST_INSTRUMENTS", 2)
        store = await opened(url)
        for name, times in (("often", 3), ("sometimes", 2), ("new", 1)):
            for _ in range(times):
                await store.calibrations.record(name, 1, 1)
        found = [await store.calibrations.get(name) for name in ("often", "sometimes", "new")]
        assert [one and one.samples for one in found] == [3, None, 1]


class TestRetention:
    async def test_what_is_past_retention_is_deleted_by_purge(self, url, opened):
        store = await opened(url, retention_days=2)
        await store.responses.save(record("old", created_at=NOW - 2 * DAY - 1), events=events(0, 1))
        await store.responses.save(record("young", created_at=NOW - 2 * DAY))
        await store.conversations.create(conversation("old", created_at=NOW - 3 * DAY), items("a"))
        await store.conversations.create(conversation("used", created_at=NOW - 3 * DAY))
        await store.conversations.append("alice", "used", items("b"), NOW)
        gone = await store.purge(NOW)
        assert (gone.responses, gone.conversations, gone.more) == (1, 1, False)
        assert await store.responses.get("alice", "old") is None
        assert await store.responses.get("alice", "young") is not None
        assert await store.conversations.get("alice", "used") is not None
        stats = await store.stats()
        assert (stats.responses, stats.events, stats.conversations, stats.conversation_items) == (1, 0, 1, 1)

    async def test_without_retention_age_does_not_matter(self, url, opened):
        store = await opened(url, retention_days=0, store_max_bytes=0)
        await store.responses.save(record(created_at=0))
        assert (await store.purge(NOW)).responses == 0

    async def test_above_the_size_bound_the_oldest_go(self, url, opened):
        store = await opened(url, store_max_bytes=10_000)
        for number in range(20):
            body = b'"%s"' % (b"x" * 998)
            await store.responses.save(
                record(f"resp_{number}", created_at=NOW + number, envelope=body, input=(), output=())
            )
        assert (await store.stats()).size == 20_000
        assert (await store.purge(NOW + 20)).responses == 10
        assert (await store.stats()).size == 10_000
        assert (await store.stats()).oldest == NOW + 10
        assert (await store.purge(NOW + 20)).responses == 0

    async def test_the_size_bound_spares_running_jobs_and_counts_events(self, url, opened):
        store = await opened(url, store_max_bytes=1000)
        await store.jobs.enqueue(record("job", status="queued", created_at=NOW), b"{}")
        await store.responses.save(record("old", created_at=NOW + 1), events=events(0, 99))
        await store.purge(NOW + 2)
        assert await store.responses.get("alice", "old") is None
        assert await store.responses.get("alice", "job") is not None

    async def test_conversations_count_towards_the_size_bound(self, url, opened):
        store = await opened(url, store_max_bytes=500)
        for number in range(4):
            made = conversation(f"conv_{number}", created_at=NOW + number)
            await store.conversations.create(made, (item("a", "x" * 200),))
        assert (await store.purge(NOW + 9)).conversations == 2
        assert await store.conversations.get("alice", "conv_3") is not None
        assert await store.conversations.get("alice", "conv_1") is None

    async def test_one_purge_is_bounded_and_says_that_there_is_more(self, url, opened, monkeypatch):
        monkeypatch.setattr("shim.store.retention.BATCH", 3)
        monkeypatch.setattr("shim.store.retention.BATCHES", 2)
        store = await opened(url, retention_days=1)
        for number in range(8):
            await store.responses.save(record(f"resp_{number}", created_at=NOW - 2 * DAY))
        counts = [(gone.responses, gone.more) for gone in [await store.purge(NOW) for _ in range(2)]]
        assert counts == [(6, True), (2, False)]

    async def test_stats_count_everything(self, store):
        await store.responses.save(record(), events=events(0, 2))
        await store.jobs.enqueue(record("resp_2", created_at=NOW - 5), b"{}")
        await store.conversations.create(conversation(), items("a", "b"))
        await store.prompts.put("alice", "greet", b"{}", NOW)
        stats = await store.stats()
        counts = (stats.responses, stats.items, stats.events, stats.jobs, stats.conversations)
        assert counts == (2, 4, 3, 1, 1)
        assert (stats.conversation_items, stats.prompts, stats.oldest) == (2, 1, NOW - 5)
        assert stats.kind == store.kind
        assert stats.file_size > stats.size > 0
