// Scenarios for Vercel's AI SDK: `node ai.mjs SCENARIO BASE_URL`. Each prints one JSON line at its end. It checks
// every event with zod, and shows in an `error` part what it cannot read.
import { createOpenAI } from "@ai-sdk/openai";
import { Output, generateObject, generateText, stepCountIs, streamObject, streamText, tool } from "ai";
import { z } from "zod";

globalThis.AI_SDK_LOG_WARNINGS = false; // they would go to standard output
const [scenario, baseURL] = process.argv.slice(2);
const openai = createOpenAI({ baseURL, apiKey: "any" });
const model = openai.responses("code-prime");
const unstored = { openai: { store: false, include: ["reasoning.encrypted_content"] } };
const thinking = { openai: { ...unstored.openai, forceReasoning: true, reasoningSummary: "auto" } };
const weather = z.object({ city: z.string(), degrees: z.number().int() });
const tell = (value) => console.log(JSON.stringify(value));

const add = tool({
  description: "Adds two numbers.",
  inputSchema: z.object({ a: z.number(), b: z.number() }),
  execute: async ({ a, b }) => String(a + b),
});

async function collected(stream) {
  const parts = [], errors = [];
  for await (const part of stream.fullStream) {
    parts.push(part.type);
    if (part.type === "error") errors.push(String(part.error?.message ?? JSON.stringify(part.error)));
  }
  return { parts, errors };
}

const base = { model, maxRetries: 0, onError() {} };

const scenarios = {
  async text() {
    const { text, finishReason, usage, reasoningText } = await generateText({
      ...base, prompt: "think Hm.\nsay Hello", providerOptions: thinking,
    });
    return { text, finishReason, usage, reasoningText };
  },

  async tools() {
    const stream = streamText({
      ...base, tools: { add }, stopWhen: stepCountIs(5), providerOptions: thinking,
      system: "Add.", prompt: 'call add {"a": 1, "b": 2}\ncall add {"a": 3, "b": 4}\nthen call add {"a": 5, "b": 6}',
    });
    const told = await collected(stream);
    const steps = (await stream.steps).map((step) => step.toolResults.map((result) => result.output));
    return { ...told, steps, text: await stream.text, finishReason: await stream.finishReason };
  },

  async object() {
    const { object } = await generateObject({ ...base, schema: weather, prompt: "Weather?", providerOptions: unstored });
    const streamed = streamObject({ ...base, schema: weather, prompt: "Weather?", providerOptions: unstored });
    for await (const _ of streamed.partialObjectStream);
    const output = await generateText({
      ...base, output: Output.object({ schema: weather }), prompt: "Weather?", providerOptions: unstored,
    });
    return { object, streamed: await streamed.object, output: output.output };
  },

  async image() {
    const image = new Uint8Array([137, 80, 78, 71, 13, 10, 26, 10]);
    const content = [{ type: "text", text: "say Seen." }, { type: "image", image, mediaType: "image/png" }];
    const seeing = openai.responses("claude-opus-latest");
    const { text } = await generateText({ ...base, model: seeing, messages: [{ role: "user", content }], providerOptions: unstored });
    return text;
  },

  async heartbeats() {
    const stream = streamText({ ...base, prompt: "hi", providerOptions: unstored, includeRawChunks: true });
    const parts = [], errors = [];
    for await (const part of stream.fullStream) {
      if (part.type === "raw" && part.rawValue.type === "response.in_progress") tell("beat");
      if (part.type === "error") errors.push(String(part.error));
      if (part.type !== "raw") parts.push(part.type);
    }
    return { parts, errors, text: await stream.text };
  },

  async limit() {
    const stream = streamText({ ...base, prompt: "words 100", maxOutputTokens: 30, providerOptions: unstored });
    return { ...(await collected(stream)), finishReason: await stream.finishReason };
  },

  async cut() {
    return collected(streamText({ ...base, prompt: "hi", providerOptions: unstored }));
  },

  async fault() {
    try {
      await generateText({ ...base, prompt: "hi", model: openai.responses("no-such-model"), providerOptions: unstored });
    } catch (error) {
      return { name: error.name, status: error.statusCode, code: error.data?.error.code, message: error.message };
    }
  },

  async abort() {
    const controller = new AbortController();
    const stream = streamText({ ...base, prompt: "hi", providerOptions: unstored, abortSignal: controller.signal });
    const parts = [];
    for await (const part of stream.fullStream) {
      parts.push(part.type);
      if (part.type === "text-delta") controller.abort();
    }
    return parts;
  },

  async kinds() {
    const exit = { type: "exit", exitCode: 0 };
    const tools = {
      local_shell: openai.tools.localShell({ execute: async ({ action }) => ({ output: action.command.join(" ") }) }),
      shell: openai.tools.shell({
        execute: async ({ action }) => ({ output: action.commands.map((stdout) => ({ stdout, stderr: "", outcome: exit })) }),
      }),
      apply_patch: openai.tools.applyPatch({
        execute: async ({ operation }) => ({ status: "completed", output: operation.diff }),
      }),
    };
    const prompt = [
      'call local_shell {"command": ["ls", "-l"]}',
      'call shell {"commands": ["pwd", "date"]}',
      'call apply_patch {"type": "create_file", "path": "a.txt", "diff": "+a"}',
    ].join("\n");
    const stream = streamText({ ...base, tools, prompt, stopWhen: stepCountIs(3), providerOptions: unstored });
    return { ...(await collected(stream)), text: await stream.text };
  },
};

tell(await scenarios[scenario]());
