// Scenarios for Vercel's AI SDK with `store` left on, as it is by default: `node stateful_ai.mjs SCENARIO BASE_URL`.
// Each prints one JSON line: per turn what was read and what was sent, as the types of the input items.
import { createOpenAI } from "@ai-sdk/openai";
import { stepCountIs, streamText, tool } from "ai";
import { z } from "zod";

globalThis.AI_SDK_LOG_WARNINGS = false; // they would go to standard output
const [scenario, baseURL] = process.argv.slice(2);
let sent = [];
const openai = createOpenAI({
  baseURL,
  apiKey: "any",
  fetch(url, options) {
    if (url.endsWith("/responses")) sent.push(JSON.parse(options.body).input.map((item) => item.type ?? item.role));
    return fetch(url, options);
  },
});

const add = tool({
  description: "Adds two numbers.",
  inputSchema: z.object({ a: z.number(), b: z.number() }),
  execute: async ({ a, b }) => String(a + b),
});

async function turn(messages, options = {}) {
  sent = [];
  const stream = streamText({
    model: openai.responses("code-prime"), tools: { add }, stopWhen: stepCountIs(5), maxRetries: 0, onError() {}, messages,
    providerOptions: { openai: { forceReasoning: true, reasoningSummary: "auto", ...options } },
  });
  const errors = [];
  for await (const part of stream.fullStream) {
    if (part.type === "error") errors.push(String(part.error?.message ?? JSON.stringify(part.error)));
  }
  if (errors.length) return { errors };
  const results = (await stream.steps).flatMap((step) => step.toolResults.map((result) => result.output));
  const { messages: made } = await stream.response;
  const { openai: told } = await stream.providerMetadata;
  return { told: { errors, results, text: await stream.text, sent }, made, id: told.responseId };
}

const user = (content) => ({ role: "user", content });
const question = user('think Sums.\ncall add {"a": 1, "b": 2}\nthen call add {"a": 3, "b": 4}');
const next = user('think More.\ncall add {"a": 5, "b": 6}');

const scenarios = {
  async references() {
    const first = await turn([question]);
    if (!first.made) return [first];
    const second = await turn([question, ...first.made, next]);
    return [first.told, second.told ?? second];
  },

  async previous() {
    const first = await turn([question]);
    if (!first.made) return [first];
    const second = await turn([next], { previousResponseId: first.id });
    return [first.told, second.told ?? second];
  },

  async conversation() {
    const made = await fetch(`${baseURL}/conversations`, { method: "POST", headers: { authorization: "Bearer any" } });
    const { id: conversation } = await made.json();
    const turns = [await turn([user("say one")], { conversation }), await turn([user("say two")], { conversation })];
    return turns.map((each) => each.told ?? each);
  },
};

console.log(JSON.stringify(await scenarios[scenario]()));
