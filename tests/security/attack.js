// All the ways in which a page can ask a server that is not its own; reports what each of them could read.
const given = new URLSearchParams(location.search);
const victim = new URL(given.get("victim"), location.href).href;
const socketUrl = victim.replace(/^http/, "ws") + "/responses";
const asked = { model: "code-prime", input: "say stolen", store: true };
const body = JSON.stringify(asked);
const PATIENCE = 2500;

const within = (promise) =>
  Promise.race([promise, new Promise((done) => setTimeout(() => done("(silence)"), PATIENCE))]);

const reading = async (path, options) => {
  const answer = await fetch(victim + path, options);
  return answer.text();
};

const posting = (options) => reading("/responses", { method: "POST", body, ...options });

const json = { "content-type": "application/json" };

// Waits for an element's load or error; what `read` finds in it then.
const loading = (tag, attributes, read = () => "") =>
  new Promise((done) => {
    const element = Object.assign(document.createElement(tag), attributes);
    element.onload = () => done(read(element));
    element.onerror = () => done("");
    document.body.append(element);
  });

const insideOf = (frame) => {
  try {
    return frame.contentDocument?.body?.innerText ?? "";
  } catch {
    return "";
  }
};

const form = (enctype, name, value) =>
  new Promise((done) => {
    const frame = document.createElement("iframe");
    frame.name = `frame-${Math.random()}`;
    document.body.append(frame);
    const sent = document.createElement("form");
    Object.assign(sent, { action: `${victim}/responses`, method: "post", enctype, target: frame.name });
    sent.append(Object.assign(document.createElement("input"), { type: "hidden", name, value }));
    document.body.append(sent);
    frame.onload = () => done(insideOf(frame));
    sent.submit();
  });

const socket = (protocols) =>
  new Promise((done) => {
    const opened = new WebSocket(socketUrl, protocols);
    let heard = "";
    opened.onopen = () => opened.send(JSON.stringify({ type: "response.create", ...asked }));
    opened.onmessage = (message) => {
      heard += message.data;
      if (/"type":"(response\.completed|response\.failed|error)"/.test(message.data)) done(heard);
    };
    opened.onclose = () => done(heard);
  });

// A page without an origin of its own: what it sends says `Origin: null`.
const sandboxed = (script) =>
  new Promise((done) => {
    addEventListener("message", (message) => done(message.data), { once: true });
    const srcdoc = `<script>(async () => { ${script} })().then((said) => parent.postMessage(said, "*"),
      () => parent.postMessage("", "*"))</` + "script>";
    document.body.append(Object.assign(document.createElement("iframe"), { sandbox: "allow-scripts", srcdoc }));
  });

const xhr = (type) =>
  new Promise((done) => {
    const request = new XMLHttpRequest();
    request.open("POST", `${victim}/responses`);
    request.setRequestHeader("content-type", type);
    request.onloadend = () => done(request.responseText);
    request.send(body);
  });

const streamed = async () => {
  const sent = JSON.stringify({ ...asked, stream: true });
  const options = { method: "POST", body: sent, headers: { ...json, authorization: "Bearer any" } };
  const answer = await fetch(`${victim}/responses`, options);
  let text = "";
  for await (const piece of answer.body.pipeThrough(new TextDecoderStream())) text += piece;
  return `${answer.headers.get("x-request-id")} ${text}`;
};

const attempts = {
  "fetch, no-cors, text": () => posting({ mode: "no-cors" }),
  "fetch, no-cors, no type": () => posting({ mode: "no-cors", body: new Blob([body]) }),
  "fetch, no-cors, form": () => posting({ mode: "no-cors", body: new URLSearchParams(body) }),
  "fetch, no-cors, JSON": () => posting({ mode: "no-cors", headers: json }),
  "fetch, no-cors, credentials": () => posting({ mode: "no-cors", credentials: "include" }),
  "fetch, text": () => posting({}),
  "fetch, no type": () => posting({ body: new Blob([body]) }),
  "fetch, JSON": () => posting({ headers: json }),
  "fetch, JSON and key": () => posting({ headers: { ...json, authorization: "Bearer any" } }),
  "fetch, stream": streamed,
  "fetch, keepalive": () => posting({ keepalive: true, mode: "no-cors" }),
  "fetch, models": () => reading("/models"),
  "fetch, models, no-cors": () => reading("/models", { mode: "no-cors" }),
  "fetch, delete": () => reading("/responses/resp_1", { method: "DELETE" }),
  "fetch, conversation": () => reading("/conversations", { method: "POST", body: "{}", mode: "no-cors" }),
  "XHR, text": () => xhr("text/plain"),
  "XHR, JSON": () => xhr("application/json"),
  "beacon, text": async () => void navigator.sendBeacon(`${victim}/responses`, body) || "",
  "beacon, JSON": async () =>
    void navigator.sendBeacon(`${victim}/responses`, new Blob([body], { type: json["content-type"] })) || "",
  "form, urlencoded": () => form("application/x-www-form-urlencoded", "input", body),
  "form, text": () => form("text/plain", body.slice(0, -1) + ', "x": "', '"}'),
  "form, multipart": () => form("multipart/form-data", "input", body),
  image: () => loading("img", { src: `${victim}/models` }),
  script: () => loading("script", { src: `${victim}/models` }),
  style: () => loading("link", { rel: "stylesheet", href: `${victim}/models` }),
  frame: () => loading("iframe", { src: `${victim}/models` }, insideOf),
  "event source": () =>
    new Promise((done) => {
      const source = new EventSource(`${victim}/responses/resp_1?stream=true`);
      source.onmessage = (message) => done(message.data);
      source.onerror = () => done(source.close() || "");
    }),
  socket: () => socket(),
  "socket, protocol": () => socket(["realtime", "openai-insecure-api-key.any"]),
  "sandbox, text": () =>
    sandboxed(`return (await fetch("${victim}/responses", { method: "POST", body: '${body}' })).text();`),
  "sandbox, no-cors": () =>
    sandboxed(
      `return (await fetch("${victim}/responses", { method: "POST", mode: "no-cors", body: '${body}' })).text();`,
    ),
  "sandbox, socket": () =>
    sandboxed(`return await new Promise((done) => {
      const opened = new WebSocket("${socketUrl}");
      opened.onopen = () => opened.send('${JSON.stringify({ type: "response.create", ...asked })}');
      opened.onmessage = (message) => done(message.data);
      opened.onclose = () => done("");
    });`),
};

const run = async () => {
  if (given.get("rebind") === "1") await fetch("/rebind");
  const heard = { "the page's origin": location.origin };
  for (const [name, attempt] of Object.entries(attempts)) {
    heard[name] = await within(attempt().catch(() => ""));
  }
  await fetch(given.get("report"), { method: "POST", mode: "no-cors", body: JSON.stringify(heard) });
};

addEventListener("load", run);
