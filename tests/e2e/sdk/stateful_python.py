"""Scenarios of what the server keeps, for the `openai` package: each gives what its namesake in `node/stateful.mjs` prints.

Not here: what must come out, which is the same for both and stands in the tests.
"""

from __future__ import annotations

import json
import time

import openai
from sdk_stage import MODEL

POLLS, PAUSE = 1500, 0.01
ADD = {
    "type": "function",
    "name": "add",
    "parameters": {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
        "required": ["a", "b"],
        "additionalProperties": False,
    },
    "strict": True,
}


def user(content):
    return {"role": "user", "content": content}


def text_of(item):
    return item.content[0].text


def fault(act):
    try:
        act()
    except openai.APIStatusError as error:
        return {
            "name": type(error).__name__,
            "status": error.status_code,
            "code": error.code,
            "param": error.param,
        }
    return None


class Scenarios:
    """Each method is one; `tell` takes what a script would print before its end."""

    def __init__(self, client, tell):
        self.client, self.tell = client, tell
        self.responses, self.conversations = client.responses, client.conversations

    def ask(self, content, **more):
        return self.responses.create(model=MODEL, input=content, **more)

    def final(self, content, **more):
        """The answer as the stream helper puts it together."""
        with self.responses.stream(model=MODEL, input=content, **more) as stream:
            return stream.get_final_response()

    def ended(self, response_id):
        for _ in range(POLLS):
            response = self.responses.retrieve(response_id)
            if response.status not in ("queued", "in_progress"):
                return response
            time.sleep(PAUSE)
        raise AssertionError("the response did not end")

    def kept(self):
        made = self.ask("say hello", instructions="Be brief.", metadata={"ticket": "7"})
        found = self.responses.retrieve(made.id, include=["reasoning.encrypted_content"])
        return {"made": made.to_dict(), "found": found.to_dict(), "text": made.output_text}

    def streamed(self):
        final = self.final("say hello")
        return {"text": final.output_text, "found": self.responses.retrieve(final.id).output_text}

    def unkept(self):
        made = self.ask("say hello", store=False)
        found = fault(lambda: self.responses.retrieve(made.id))
        continued = fault(lambda: self.ask("x", previous_response_id=made.id))
        return {"store": made.store, "found": found, "continued": continued}

    def items(self):
        made = self.ask([user(f"number {number}") for number in range(5)])

        def listed(order):
            return self.responses.input_items.list(made.id, limit=2, order=order)

        page = listed("asc")
        return {
            "page": {"texts": [text_of(item) for item in page.data], "more": page.has_more},
            "ascending": [text_of(item) for item in listed("asc")],
            "descending": [text_of(item) for item in listed("desc")],
        }

    def chain(self):
        first = self.ask("say one", instructions="Be brief.")
        second = self.final("say two", previous_response_id=first.id)
        third = self.ask("say three", previous_response_id=second.id)
        return {
            "ids": [first.id, second.id],
            "previous": [each.previous_response_id for each in (first, second, third)],
            "text": third.output_text,
            "unknown": fault(lambda: self.ask("x", previous_response_id="resp_none")),
        }

    def tools(self):
        response = self.ask('call add {"a": 1, "b": 2}\nthen call add {"a": 3, "b": 4}', tools=[ADD])
        while calls := [item for item in response.output if item.type == "function_call"]:
            outputs = [
                {
                    "type": "function_call_output",
                    "call_id": call.call_id,
                    "output": str(sum(json.loads(call.arguments).values())),
                }
                for call in calls
            ]
            response = self.ask(outputs, tools=[ADD], previous_response_id=response.id)
        return response.output_text

    def connected(self):
        with self.responses.connect() as connection:

            def turn(content, **more):
                connection.response.create(model=MODEL, input=content, **more)
                for event in connection:
                    if event.type == "error":
                        return {"code": event.error.code, "param": event.error.param}
                    if event.type == "response.completed":
                        return event.response
                raise AssertionError("the connection ended")

            first = turn("say one", store=False)
            second = turn("say two", store=False, previous_response_id=first.id)
            third = turn("say three", previous_response_id=second.id)
            unknown = turn("x", previous_response_id="resp_none")
            fourth = turn("say four", previous_response_id=third.id)
        fifth = self.ask("say five", previous_response_id=fourth.id)
        return {
            "texts": [each.output_text for each in (first, second, third, fourth, fifth)],
            "unknown": unknown,
            "lost": fault(lambda: self.ask("x", previous_response_id=second.id)),
        }

    def deleted(self):
        made = self.ask("say hello")
        self.responses.delete(made.id)
        attempts = (
            self.responses.retrieve,
            self.responses.delete,
            self.responses.input_items.list,
            self.responses.cancel,
        )
        return [fault(lambda attempt=attempt: attempt(made.id)) for attempt in attempts]

    def foreign(self):
        made, conversation = self.ask("say hello"), self.conversations.create(items=[user("zero")])
        other = self.client.with_options(api_key="other")
        attempts = (
            (other.responses.retrieve, made.id),
            (other.responses.input_items.list, made.id),
            (other.responses.delete, made.id),
            (other.conversations.retrieve, conversation.id),
            (other.conversations.items.list, conversation.id),
            (other.conversations.delete, conversation.id),
        )
        return {
            "faults": [fault(lambda attempt=attempt, what=what: attempt(what)) for attempt, what in attempts],
            "continued": fault(
                lambda: other.responses.create(model=MODEL, input="x", previous_response_id=made.id)
            ),
            "ids": [made.id, conversation.id],
            "kept": [
                self.responses.retrieve(made.id).id,
                self.conversations.retrieve(conversation.id).id,
            ],
        }

    def polled(self):
        made = self.ask("say hello", background=True)
        done = self.ended(made.id)
        return {
            "begun": made.status,
            "status": done.status,
            "background": done.background,
            "text": done.output_text,
        }

    def cancelled(self):
        foreground = self.ask("say hello")
        made = self.ask("hi", background=True)
        with self.responses.retrieve(made.id, stream=True) as stream:
            next(event for event in stream if event.type == "response.output_text.delta")
        statuses = [self.responses.cancel(made.id).status, self.responses.cancel(made.id).status]
        statuses.append(self.responses.retrieve(made.id).status)
        return {"statuses": statuses, "foreground": fault(lambda: self.responses.cancel(foreground.id))}

    def resumed(self):
        seen = []
        with self.ask("hi", background=True, stream=True) as stream:
            for event in stream:
                seen.append(event)
                if event.type == "response.output_text.delta":
                    break
        self.tell("left")
        response_id, after = seen[0].response.id, seen[-1].sequence_number
        rest = list(self.responses.retrieve(response_id, stream=True, starting_after=after))
        again = list(self.responses.retrieve(response_id, stream=True))
        with self.responses.stream(response_id=response_id, starting_after=after) as helped:
            helper = [event.sequence_number for event in helped]
            final = helped.get_final_response()
        return {
            "numbers": [event.sequence_number for event in seen + rest],
            "again": [event.sequence_number for event in again],
            "helper": helper,
            "after": after,
            "type": rest[-1].type,
            "text": text_of(rest[-1].response.output[-1]),
            "final": final.output_text,
        }

    def conversation(self):
        conversations, items = self.conversations, self.conversations.items
        made = conversations.create(metadata={"topic": "cats"}, items=[user("zero")])
        found = conversations.retrieve(made.id)
        updated = conversations.update(made.id, metadata={"topic": "dogs"})
        added = items.create(made.id, items=[user(f"number {number}") for number in (1, 2, 3, 4)])
        one = items.retrieve(added.data[0].id, conversation_id=made.id)
        after = items.delete(one.id, conversation_id=made.id)
        texts = [text_of(item) for item in items.list(made.id, limit=2, order="asc")]
        gone = conversations.delete(made.id)
        return {
            "made": made.to_dict(),
            "found": found.to_dict(),
            "updated": updated.to_dict(),
            "after": after.to_dict(),
            "texts": texts,
            "gone": gone.to_dict(),
            "one": text_of(one),
            "first": [added.first_id, added.data[0].id],
            "last": [added.last_id, added.data[-1].id],
            "lost": [
                fault(lambda: conversations.retrieve(made.id)),
                fault(lambda: conversations.update(made.id, metadata={})),
                fault(lambda: items.list(made.id)),
                fault(lambda: items.retrieve(added.data[1].id, conversation_id=made.id)),
            ],
        }

    def turns(self):
        made = self.conversations.create(items=[user("say zero"), {"role": "assistant", "content": "zero"}])
        first = self.ask("say one", conversation=made.id)
        streamed = self.final("say two", conversation={"id": made.id})
        listed = self.conversations.items.list(made.id, order="asc")
        return {
            "told": [each.conversation.id == made.id for each in (first, streamed)],
            "texts": [text_of(item) for item in listed if item.type == "message"],
            "both": fault(lambda: self.ask("x", conversation=made.id, previous_response_id=first.id)),
        }

    def compacted(self):
        first = self.ask("say one")
        compacted = self.responses.compact(model=MODEL, input="say two", previous_response_id=first.id)
        replay = [
            item.to_dict(warnings=False) for item in compacted.output
        ]  # the SDK's type has no user's words
        after = self.ask([*replay, user("say three")])
        return {
            "object": compacted.object,
            "types": [item.type for item in compacted.output],
            "tokens": compacted.usage.total_tokens,
            "text": after.output_text,
        }

    def counted(self):
        count = self.responses.input_tokens.count
        counted = count(model=MODEL, input="say one")
        first = self.ask("say one")
        longer = count(model=MODEL, input="say two", previous_response_id=first.id, tools=[ADD])
        return {"object": counted.object, "tokens": counted.input_tokens, "longer": longer.input_tokens}
