// Meets faults with `fetch` of Node.
//
// Reads and writes the same lines as `stacks.py`.

import { createInterface } from "node:readline";

const BODY = { amount: 1999, currency: "usd", order: "order-1" };
const AT_ONCE = 8;

function shape(value) {
  if (value === null) return "null";
  if (Array.isArray(value)) return "a list";
  if (typeof value !== "object") return "a value";
  const isCharge =
    typeof value.id === "string" &&
    value.status === "succeeded" &&
    Object.keys(BODY).every((name) => value[name] === BODY[name]);
  return isCharge ? "the charge" : "another object";
}

// Which of the two it is depends on whether the end or the reset is read first.
const LOST = ["ECONNRESET", "UND_ERR_SOCKET"];

// The class of the error, and the code or class of the innermost one that it carries.
function rootOf(error) {
  let inner = error;
  while (inner.cause instanceof Error) inner = inner.cause;
  const what = LOST.includes(inner.code) ? "connection lost" : (inner.code ?? inner.name);
  return inner === error ? error.name : `${error.name} (${what})`;
}

async function meet(url, timeoutMs) {
  let answer;
  try {
    answer = await fetch(`${url}/v1/charges`, {
      method: "POST",
      headers: { authorization: "Bearer sk", "content-type": "application/json" },
      body: JSON.stringify(BODY),
      signal: AbortSignal.timeout(timeoutMs),
    });
  } catch (error) {
    return rootOf(error);
  }
  try {
    return `${answer.status}, ${shape(await answer.json())}`;
  } catch (error) {
    return error instanceof SyntaxError
      ? `${answer.status}, no JSON: ${error.name}`
      : `${answer.status}, ${rootOf(error)}`;
  }
}

function at(value, pointer) {
  for (const step of pointer.split("/").slice(1)) value = value?.[step];
  return value;
}

function inWords(value) {
  if (Array.isArray(value)) return `${value.length} in a list`;
  if (value === undefined || value === null) return null;
  return typeof value === "string" ? value : JSON.stringify(value);
}

function readable(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function events(body) {
  const data = body.split(/\r\n|\n|\r/).filter((line) => line.startsWith("data: ")).map((line) => line.slice(6));
  const end = data.at(-1) === "[DONE]" ? "whole" : "without its end";
  const pieces = data.map((text) => at(readable(text), "/choices/0/delta/content"));
  const said = pieces.filter((piece) => typeof piece === "string").join("|");
  return `${data.length} events, \`${said}\`, ${end}`;
}

function statuses(items) {
  if (!Array.isArray(items)) return null;
  return items.map((item) => String(item.status ?? "silent")).sort().join(" ");
}

function shown(step, answer, body, memory) {
  const value = readable(body);
  const known = value?.id;
  const parts = [String(answer.status)];
  for (const show of step.show) {
    let part;
    if (show === "same id") {
      part = known && memory.id ? (known === memory.id ? "the same id" : "another id") : null;
    } else if (show === "events") part = events(body);
    else if (show.startsWith("statuses ")) part = statuses(at(value, show.slice(9)));
    else if (show.startsWith("/")) part = inWords(at(value, show));
    else part = answer.headers.has(show) ? `${show} ${answer.headers.get(show)}` : null;
    if (part !== null) parts.push(part);
  }
  memory.id ??= known;
  return parts.join(", ");
}

// Sends the requests of a course one after the other.
async function inSteps(url, timeoutMs, steps) {
  const memory = {};
  const said = [];
  for (const step of steps) {
    const headers = { authorization: "Bearer sk" };
    if (step.body !== "") headers["content-type"] = "application/json";
    let answer;
    try {
      answer = await fetch(url + step.path.replace("{id}", memory.id ?? "none"), {
        method: step.method,
        headers: { ...headers, ...step.headers },
        body: step.body === "" ? undefined : step.body,
        signal: AbortSignal.timeout(timeoutMs),
      });
      said.push(shown(step, answer, await answer.text(), memory));
    } catch (error) {
      said.push(answer === undefined ? rootOf(error) : `${answer.status}, ${rootOf(error)}`);
    }
  }
  return said.join("; ");
}

const waiting = [];
let busy = 0;

function next() {
  while (busy < AT_ONCE && waiting.length > 0) {
    const { row, urls, timeout_s, steps } = waiting.shift();
    busy += 1;
    const timeoutMs = timeout_s * 1000;
    const met = steps.length > 0 ? inSteps(urls.fetch, timeoutMs, steps) : meet(urls.fetch, timeoutMs);
    met.then((said) => {
      console.log(JSON.stringify({ row, stack: "fetch", said }));
      busy -= 1;
      next();
    });
  }
}

createInterface({ input: process.stdin }).on("line", (line) => {
  waiting.push(JSON.parse(line));
  next();
});
