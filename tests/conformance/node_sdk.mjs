// SPDX-License-Identifier: Apache-2.0
// OpenAI's Node SDK with only base URL and key set (from the environment). Prints what it saw as JSON.
import { createRequire } from "node:module";
import path from "node:path";

const require = createRequire(path.join(process.env.NODE_PATH, "package.json"));
const OpenAI = require("openai");

const model = process.env.DARKBLOOM_MODEL;
const messages = [{ role: "user", content: "What is the capital of France? Answer in one sentence." }];
const api = new OpenAI({ maxRetries: 0 });
const seen = { errors: {} };

const whole = await api.chat.completions.create({ model, messages, temperature: 0, max_tokens: 24 });
seen.whole = whole.choices[0].message.content;
seen.usage = whole.usage;

const stream = await api.chat.completions.create({
  model, messages, temperature: 0, max_tokens: 24, stream: true, stream_options: { include_usage: true },
});
seen.streamed = "";
for await (const chunk of stream) {
  seen.streamed += chunk.choices[0]?.delta?.content ?? "";
  if (chunk.usage) seen.streamUsage = chunk.usage;
}

async function failing(name, call) {
  try {
    await call();
    seen.errors[name] = "nothing was thrown";
  } catch (e) {
    seen.errors[name] = { class: e.constructor.name, status: e.status, code: e.code, param: e.param };
  }
}
const ask = (client, more) => client.chat.completions.create({ model, messages, ...more });
await failing("key", () => ask(new OpenAI({ apiKey: "wrong", maxRetries: 0 }), {}));
await failing("model", () => ask(api, { model: "nobody-has-this" }));
await failing("max_tokens", () => ask(api, { max_tokens: 0 }));
await failing("messages", () => ask(api, { messages: [] }));
await failing("context", () => ask(api, { messages: [{ role: "user", content: "word ".repeat(4000) }] }));
console.log(JSON.stringify(seen));
