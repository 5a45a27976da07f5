"""Any order of requests by two keys leaves what a dictionary would hold."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, multiple, rule, run_state_machine_as_test
from stateful_stack import MODEL, said

KEYS = st.sampled_from(["alice", "bob"])
WORDS = st.text("abcdefgh", min_size=1, max_size=8)


def machine_on(stack):
    """A machine that asks this endpoint."""

    class Remembering(RuleBasedStateMachine):
        """The model: each response's owner, parent and words; a deleted one is gone with what continues it."""

        made = Bundle("responses")

        def __init__(self):
            super().__init__()
            self.clients = {key: stack.http(key) for key in ("alice", "bob")}
            self.kept = {}

        def teardown(self):
            for client in self.clients.values():
                client.close()

        def history(self, response_id):
            """What the model was shown up to here; None if a link is gone."""
            if response_id is None:
                return []
            if response_id not in self.kept:
                return None
            _, parent, word = self.kept[response_id]
            before = self.history(parent)
            return None if before is None else [*before, ("user", f"say {word}"), ("assistant", word)]

        def ask(self, key, word, parent=None, **fields):
            body = {"model": MODEL, "input": f"say {word}", "previous_response_id": parent, **fields}
            return self.clients[key].post("/responses", json=body)

        @rule(target=made, key=KEYS, word=WORDS)
        def create(self, key, word):
            reply = self.ask(key, word).json()
            self.kept[reply["id"]] = (key, None, word)
            return reply["id"]

        @rule(key=KEYS, word=WORDS)
        def create_unstored(self, key, word):
            reply = self.ask(key, word, store=False).json()
            assert self.clients[key].get(f"/responses/{reply['id']}").status_code == 404

        @rule(target=made, key=KEYS, word=WORDS, parent=made)
        def chain(self, key, word, parent):
            history = self.history(parent)
            reply = self.ask(key, word, parent)
            if history is None or self.kept[parent][0] != key:
                assert reply.status_code == 400
                assert reply.json()["error"]["code"] == "previous_response_not_found"
                return multiple()
            assert [said(message) for message in stack.messages] == [*history, ("user", f"say {word}")]
            self.kept[reply.json()["id"]] = (key, parent, word)
            return reply.json()["id"]

        @rule(key=KEYS, response_id=made)
        def delete(self, key, response_id):
            mine = self.kept.get(response_id, ("nobody",))[0] == key
            reply = self.clients[key].delete(f"/responses/{response_id}")
            assert reply.status_code == (200 if mine else 404)
            if mine:
                del self.kept[response_id]

        @rule(key=KEYS, response_id=made)
        def retrieve(self, key, response_id):
            owner, parent, word = self.kept.get(response_id, ("nobody", None, None))
            reply = self.clients[key].get(f"/responses/{response_id}")
            assert reply.status_code == (200 if owner == key else 404)
            if owner == key:
                assert reply.json()["previous_response_id"] == parent
                assert reply.json()["output"][-1]["content"][0]["text"] == word

        @rule(key=KEYS, response_id=made)
        def list_input(self, key, response_id):
            owner, _, word = self.kept.get(response_id, ("nobody", None, None))
            reply = self.clients[key].get(f"/responses/{response_id}/input_items")
            assert reply.status_code == (200 if owner == key else 404)
            if owner == key:
                (item,) = reply.json()["data"]
                assert item["content"] == [{"type": "input_text", "text": f"say {word}"}]

    return Remembering


def test_any_order_of_requests_leaves_what_a_dictionary_would_hold(stack):
    run_state_machine_as_test(
        machine_on(stack), settings=settings(max_examples=8, stateful_step_count=15, deadline=None)
    )
