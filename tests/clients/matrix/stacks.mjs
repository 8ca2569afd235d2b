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

const waiting = [];
let busy = 0;

function next() {
  while (busy < AT_ONCE && waiting.length > 0) {
    const { row, urls, timeout_s } = waiting.shift();
    busy += 1;
    meet(urls.fetch, timeout_s * 1000).then((said) => {
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
