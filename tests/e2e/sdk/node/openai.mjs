// Scenarios for the `openai` package: `node openai.mjs SCENARIO BASE_URL`. Each prints one JSON line at its end;
// a line `"beat"` before it tells of one more `response.in_progress`.
import OpenAI from "openai";
import { zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";
import { add } from "./add.mjs";

const [scenario, baseURL] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey: "any", maxRetries: 0 });
const model = "code-prime";
const tell = (value) => console.log(JSON.stringify(value));

async function fault(act) {
  try {
    await act();
  } catch (error) {
    const { status, code, param, type, message, requestID } = error;
    return { name: error.constructor.name, status, code, param, type, message, requestID };
  }
  return null;
}

const scenarios = {
  async create() {
    const response = await client.responses.create({ model, instructions: "Be brief.", input: "say Hello" });
    return { text: response.output_text, status: response.status, usage: response.usage, id: response._request_id };
  },

  async stream() {
    const types = [], numbers = [];
    let text = "", final;
    for await (const event of await client.responses.create({ model, input: "words 20", stream: true })) {
      types.push(event.type);
      numbers.push(event.sequence_number);
      if (event.type === "response.output_text.delta") text += event.delta;
      if (event.type === "response.completed") final = event.response;
    }
    return { types, numbers, text, final };
  },

  async helper() {
    const stream = client.responses.stream({ model, input: "words 20" });
    let text = "";
    stream.on("response.output_text.delta", (event) => (text += event.delta));
    const final = await stream.finalResponse();
    return { text, final: final.output_text, types: final.output.map((item) => item.type) };
  },

  async parse() {
    const shape = z.object({ city: z.string(), degrees: z.number().int() });
    const text = { format: zodTextFormat(shape, "weather") };
    const whole = await client.responses.parse({ model, input: "Weather?", text });
    const streamed = await client.responses.stream({ model, input: "Weather?", text }).finalResponse();
    return { whole: whole.output_parsed, streamed: streamed.output_parsed };
  },

  async schema() {
    const format = { type: "json_schema", name: "weather", strict: true, schema: add.parameters };
    const response = await client.responses.parse({ model, input: "Sums?", text: { format } });
    return JSON.parse(response.output_text);
  },

  async tools() {
    const input = [{ role: "user", content: 'call add {"a": 1, "b": 2}\ncall add {"a": 3, "b": 4}\nthen call add {"a": 5, "b": 6}' }];
    const rounds = [];
    for (;;) {
      const stream = client.responses.stream({ model, input, tools: [add], store: false, include: ["reasoning.encrypted_content"] });
      const response = await stream.finalResponse();
      const calls = response.output.filter((item) => item.type === "function_call");
      rounds.push(calls.length);
      if (!calls.length) return { text: response.output_text, rounds };
      input.push(...response.output);
      for (const call of calls) {
        const { a, b } = call.parsed_arguments ?? JSON.parse(call.arguments);
        input.push({ type: "function_call_output", call_id: call.call_id, output: String(a + b) });
      }
    }
  },

  async kinds() {
    const tools = [
      { type: "custom", name: "note", format: { type: "text" } },
      { type: "shell", environment: { type: "local" } },
      { type: "apply_patch" },
      { type: "local_shell" },
    ];
    const orders = {
      note: 'call note {"input": "a\\nb"}',
      shell: 'call shell {"commands": ["ls", "pwd"]}',
      patch: 'call apply_patch {"type": "update_file", "path": "a.txt", "diff": "@@\\n-a\\n+b\\n"}',
      local: 'call local_shell {"command": ["ls"]}',
    };
    const helped = client.responses.stream({ model, tools, input: `${orders.note}\n${orders.local}` });
    const types = [];
    let iterated;
    const input = `${orders.shell}\n${orders.patch}`;
    for await (const event of await client.responses.create({ model, tools, input, stream: true })) {
      types.push(event.type);
      if (event.type === "response.completed") iterated = event.response.output;
    }
    return { helped: (await helped.finalResponse()).output, iterated, types };
  },

  async image() {
    const image = { type: "input_image", image_url: "data:image/png;base64,AAAA", detail: "auto" };
    const content = [{ type: "input_text", text: "say Seen." }, image];
    const response = await client.responses.create({ model: "claude-opus-latest", input: [{ role: "user", content }] });
    return response.output_text;
  },

  async reasoning() {
    const stream = client.responses.stream({
      model, input: "think One step, then another.\nsay Done.", store: false,
      reasoning: { effort: "low", summary: "auto" }, include: ["reasoning.encrypted_content"],
    });
    let summary = "";
    stream.on("response.reasoning_summary_text.delta", (event) => (summary += event.delta));
    const final = await stream.finalResponse();
    return { summary, item: final.output[0] };
  },

  async incomplete() {
    const request = { model, input: "words 100", max_output_tokens: 30 };
    const response = await client.responses.create(request);
    const helped = await client.responses.stream(request).finalResponse();
    const told = ({ status, incomplete_details }) => ({ status, details: incomplete_details });
    return { ...told(response), helper: told(helped) };
  },

  async faults() {
    return {
      model: await fault(() => client.responses.create({ input: "hi" })),
      temperature: await fault(() => client.responses.create({ model, input: "hi", temperature: -1 })),
      unknown: await fault(() => client.responses.create({ model: "no-such-model", input: "hi" })),
      streamed: await fault(() => client.responses.stream({ model: "no-such-model", input: "hi" }).finalResponse()),
    };
  },

  async limited() {
    const patient = new OpenAI({ baseURL, apiKey: "any", maxRetries: 1 });
    return {
      refused: await fault(() => client.responses.create({ model, input: "hi" })),
      retried: (await patient.responses.create({ model, input: "say At last" })).output_text,
    };
  },

  async cut() {
    const types = [];
    const iterated = await fault(async () => {
      for await (const event of await client.responses.create({ model, input: "hi", stream: true })) types.push(event.type);
    });
    return { types, iterated, helper: await fault(() => client.responses.stream({ model, input: "hi" }).finalResponse()) };
  },

  async abort() {
    const stream = await client.responses.create({ model, input: "hi", stream: true });
    for await (const event of stream) {
      if (event.type === "response.output_text.delta") break;
    }
    stream.controller.abort();
    return "left";
  },

  async abortHelper() {
    const stream = client.responses.stream({ model, input: "hi" });
    stream.on("response.output_text.delta", () => stream.abort());
    return fault(() => stream.finalResponse());
  },

  async heartbeats() {
    const stream = client.responses.stream({ model, input: "hi" });
    stream.on("response.in_progress", () => tell("beat"));
    const final = await stream.finalResponse();
    return { text: final.output_text, types: final.output.map((item) => item.type) };
  },

  async elsewhere() {
    const names = [];
    for await (const each of client.models.list()) names.push(each.id);
    const chat = await client.chat.completions.create({ model, messages: [{ role: "user", content: "say Through" }] });
    return { names, chat: chat.choices[0].message.content };
  },
};

tell(await scenarios[scenario]());
