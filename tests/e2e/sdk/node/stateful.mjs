// Scenarios of what the server keeps, for the `openai` package: `node stateful.mjs SCENARIO BASE_URL`. Each prints
// one JSON line at its end, the same as the scenario of its name in `stateful_python.py`; a line `"left"` before it
// tells that the client left a stream.
import OpenAI from "openai";
import { ResponsesWS } from "openai/resources/responses/ws";
import { add } from "./add.mjs";

const [scenario, baseURL] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey: "any", maxRetries: 0 });
const { responses, conversations } = client;
const model = "code-prime";
const tell = (value) => console.log(JSON.stringify(value));
const user = (content) => ({ role: "user", content });
const ask = (input, more) => responses.create({ model, input, ...more });
const textOf = (item) => item.content[0].text;

async function fault(act) {
  try {
    await act();
  } catch ({ constructor, status, code, param }) {
    return { name: constructor.name, status, code, param };
  }
  return null;
}

async function collected(iterable, pick) {
  const all = [];
  for await (const each of iterable) all.push(pick(each));
  return all;
}

async function ended(id) {
  for (let polls = 0; polls < 1500; polls++) {
    const response = await responses.retrieve(id);
    if (!["queued", "in_progress"].includes(response.status)) return response;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error("the response did not end");
}

const scenarios = {
  async kept() {
    const made = await ask("say hello", { instructions: "Be brief.", metadata: { ticket: "7" } });
    return { made, found: await responses.retrieve(made.id, { include: ["reasoning.encrypted_content"] }), text: made.output_text };
  },

  async streamed() {
    const final = await responses.stream({ model, input: "say hello" }).finalResponse();
    return { text: final.output_text, found: (await responses.retrieve(final.id)).output_text };
  },

  async unkept() {
    const made = await ask("say hello", { store: false });
    const found = await fault(() => responses.retrieve(made.id));
    return { store: made.store, found, continued: await fault(() => ask("x", { previous_response_id: made.id })) };
  },

  async items() {
    const made = await ask([0, 1, 2, 3, 4].map((number) => user(`number ${number}`)));
    const listed = (order) => responses.inputItems.list(made.id, { limit: 2, order });
    const page = await listed("asc");
    return {
      page: { texts: page.data.map(textOf), more: page.has_more },
      ascending: await collected(listed("asc"), textOf),
      descending: await collected(listed("desc"), textOf),
    };
  },

  async chain() {
    const first = await ask("say one", { instructions: "Be brief." });
    const second = await responses.stream({ model, input: "say two", previous_response_id: first.id }).finalResponse();
    const third = await ask("say three", { previous_response_id: second.id });
    const previous = [first, second, third].map((each) => each.previous_response_id);
    return {
      ids: [first.id, second.id], previous, text: third.output_text,
      unknown: await fault(() => ask("x", { previous_response_id: "resp_none" })),
    };
  },

  async tools() {
    let response = await ask('call add {"a": 1, "b": 2}\nthen call add {"a": 3, "b": 4}', { tools: [add] });
    for (;;) {
      const calls = response.output.filter((item) => item.type === "function_call");
      if (!calls.length) return response.output_text;
      const input = calls.map(({ call_id, arguments: given }) => {
        const { a, b } = JSON.parse(given);
        return { type: "function_call_output", call_id, output: String(a + b) };
      });
      response = await ask(input, { tools: [add], previous_response_id: response.id });
    }
  },

  async connected() {
    const socket = new ResponsesWS(client), events = socket.stream();
    const turn = async (input, more) => {
      socket.send({ type: "response.create", model, input, ...more });
      for (;;) {
        const { value, done } = await events.next(); // `for await` would end the iteration with the turn
        if (done) throw new Error("the connection ended");
        if (value.type === "error") {
          const { code, param } = value.error.error.error; // the event within the exception
          return { code, param };
        }
        if (value.message?.type === "response.completed") return value.message.response;
      }
    };
    const said = (response) => textOf(response.output.at(-1));
    const first = await turn("say one", { store: false });
    const second = await turn("say two", { store: false, previous_response_id: first.id });
    const third = await turn("say three", { previous_response_id: second.id });
    const unknown = await turn("x", { previous_response_id: "resp_none" });
    const fourth = await turn("say four", { previous_response_id: third.id });
    socket.close();
    const fifth = await ask("say five", { previous_response_id: fourth.id });
    return {
      texts: [...[first, second, third, fourth].map(said), fifth.output_text], unknown,
      lost: await fault(() => ask("x", { previous_response_id: second.id })),
    };
  },

  async deleted() {
    const made = await ask("say hello");
    await responses.delete(made.id);
    return [
      await fault(() => responses.retrieve(made.id)),
      await fault(() => responses.delete(made.id)),
      await fault(() => responses.inputItems.list(made.id)),
      await fault(() => responses.cancel(made.id)),
    ];
  },

  async foreign() {
    const made = await ask("say hello"), conversation = await conversations.create({ items: [user("zero")] });
    const other = new OpenAI({ baseURL, apiKey: "other", maxRetries: 0 });
    const faults = [
      await fault(() => other.responses.retrieve(made.id)),
      await fault(() => other.responses.inputItems.list(made.id)),
      await fault(() => other.responses.delete(made.id)),
      await fault(() => other.conversations.retrieve(conversation.id)),
      await fault(() => other.conversations.items.list(conversation.id)),
      await fault(() => other.conversations.delete(conversation.id)),
    ];
    const continued = await fault(() => other.responses.create({ model, input: "x", previous_response_id: made.id }));
    const kept = [(await responses.retrieve(made.id)).id, (await conversations.retrieve(conversation.id)).id];
    return { faults, continued, ids: [made.id, conversation.id], kept };
  },

  async polled() {
    const made = await ask("say hello", { background: true });
    const { status, background, output_text } = await ended(made.id);
    return { begun: made.status, status, background, text: output_text };
  },

  async cancelled() {
    const foreground = await ask("say hello");
    const { id } = await ask("hi", { background: true });
    for await (const event of await responses.retrieve(id, { stream: true })) {
      if (event.type === "response.output_text.delta") break;
    }
    const statuses = [(await responses.cancel(id)).status, (await responses.cancel(id)).status];
    statuses.push((await responses.retrieve(id)).status);
    return { statuses, foreground: await fault(() => responses.cancel(foreground.id)) };
  },

  async resumed() {
    const seen = [];
    for await (const event of await ask("hi", { background: true, stream: true })) {
      seen.push(event);
      if (event.type === "response.output_text.delta") break;
    }
    tell("left");
    const id = seen[0].response.id, after = seen.at(-1).sequence_number;
    const rest = await collected(await responses.retrieve(id, { stream: true, starting_after: after }), (event) => event);
    const again = await collected(await responses.retrieve(id, { stream: true }), (event) => event.sequence_number);
    const helped = responses.stream({ response_id: id, starting_after: after });
    const helper = await collected(helped, (event) => event.sequence_number);
    const last = rest.at(-1);
    return {
      numbers: [...seen, ...rest].map((event) => event.sequence_number), again, helper, after,
      type: last.type, text: textOf(last.response.output.at(-1)), final: (await helped.finalResponse()).output_text,
    };
  },

  async conversation() {
    const made = await conversations.create({ metadata: { topic: "cats" }, items: [user("zero")] });
    const { id } = made;
    const found = await conversations.retrieve(id);
    const updated = await conversations.update(id, { metadata: { topic: "dogs" } });
    const added = await conversations.items.create(id, { items: [1, 2, 3, 4].map((number) => user(`number ${number}`)) });
    const one = await conversations.items.retrieve(added.data[0].id, { conversation_id: id });
    const after = await conversations.items.delete(one.id, { conversation_id: id });
    const texts = await collected(conversations.items.list(id, { limit: 2, order: "asc" }), textOf);
    const gone = await conversations.delete(id);
    return {
      made, found, updated, after, texts, gone,
      one: textOf(one), first: [added.first_id, added.data[0].id], last: [added.last_id, added.data.at(-1).id],
      lost: [
        await fault(() => conversations.retrieve(id)),
        await fault(() => conversations.update(id, { metadata: {} })),
        await fault(() => conversations.items.list(id)),
        await fault(() => conversations.items.retrieve(added.data[1].id, { conversation_id: id })),
      ],
    };
  },

  async turns() {
    const { id } = await conversations.create({ items: [user("say zero"), { role: "assistant", content: "zero" }] });
    const first = await ask("say one", { conversation: id });
    const streamed = await responses.stream({ model, input: "say two", conversation: { id } }).finalResponse();
    const listed = await collected(conversations.items.list(id, { order: "asc" }), (item) => item);
    return {
      told: [first.conversation.id, streamed.conversation.id].map((each) => each === id),
      texts: listed.filter((item) => item.type === "message").map(textOf),
      both: await fault(() => ask("x", { conversation: id, previous_response_id: first.id })),
    };
  },

  async compacted() {
    const first = await ask("say one");
    const compacted = await responses.compact({ model, input: "say two", previous_response_id: first.id });
    const next = await ask([...compacted.output, user("say three")]);
    return {
      object: compacted.object, types: compacted.output.map((item) => item.type),
      tokens: compacted.usage.total_tokens, text: next.output_text,
    };
  },

  async counted() {
    const counted = await responses.inputTokens.count({ model, input: "say one" });
    const first = await ask("say one");
    const longer = await responses.inputTokens.count({ model, input: "say two", previous_response_id: first.id, tools: [add] });
    return { object: counted.object, tokens: counted.input_tokens, longer: longer.input_tokens };
  },
};

tell(await scenarios[scenario]());
