// The broken clients of the zoo as a program: a client that is right, and one habit that is not.
//
//   node tests/clients/zoo.mjs "sends no key"
//
// `nothing` leaves it as it is. Clients that are wrong only together with others are not here: whether forty requests of a
// program come in one moment is decided by how busy the machine is.

import { randomUUID } from "node:crypto";

import { serve, Unknown } from "../../harness/loops/brownout_stdio.mjs";

const RIGHT = {
  key: (order) => order.order,
  body: (order) => order,
  tries: 5,
  wait: (number) => Math.min(300 * 2 ** (number - 1), 1200) * (1 + Math.random()),
  hint: (answer) => Number(answer.headers.get("retry-after")) * 1000 || 0,
  timeout: 3000,
  isReceipt: (order, made) => made?.status === "succeeded" && made.order === order.order,
  repeats: (end) => end !== "refused",
  fails: (end, said) => {
    if (end === "lost") throw new Unknown(said);
    throw new Error(said);
  },
  writes: () => {},
};

const BUGS = {
  nothing: {},
  "sends no key": { key: () => undefined },
  "a key for each attempt": { key: () => randomUUID() },
  "a key of the amount": { key: (order) => `${order.amount}` },
  "reads no hint": { hint: () => 0 },
  "does not wait": { wait: () => 0 },
  "waits a second each time": { wait: () => 1000 },
  "retries what was refused for good": { repeats: () => true },
  "tries twelve times": { tries: 12 },
  "believes the status": { isReceipt: () => true },
  "calls failed what may have happened": { fails: (_, said) => { throw new Error(said); } },
  "calls it done": { fails: (end, said) => { if (end === "lost") throw new Unknown(said); } },
  "says nothing": { fails: () => new Promise(() => {}) },
  "writes its key into the log": { writes: (operation) => console.log(`Authorization: Bearer ${operation.api_key}`) },
  "never tries again": { tries: 1 },
  "waits for ever": { timeout: 60_000 },
  "counts its attempts in the body": { body: (order, number) => ({ ...order, try: number }) },
  "waits for minutes": { wait: () => 4000 },
};

const name = process.argv[2];
if (!(name in BUGS)) throw new Error(`there is no \`${name}\``);
const client = { ...RIGHT, ...BUGS[name] };

const pause = (ms) => new Promise((over) => setTimeout(over, ms));

// One attempt: `done`, `busy` (not done, for now), `refused` (for good) or `lost` (nobody here knows).
async function once(operation, number) {
  const order = operation.input;
  const headers = { authorization: `Bearer ${operation.api_key}`, "content-type": "application/json" };
  const key = client.key(order);
  if (key !== undefined) headers["idempotency-key"] = key;
  client.writes(operation);
  let answer, text;
  try {
    const body = JSON.stringify(client.body(order, number));
    answer = await fetch(`${operation.url}/v1/charges`, { method: "POST", headers, body, signal: AbortSignal.timeout(client.timeout) });
    text = await answer.text();
  } catch (problem) {
    return { end: "lost", said: String(problem.cause ?? problem), hint: 0 };
  }
  const said = `status ${answer.status}`;
  const hint = client.hint(answer);
  if (answer.ok) {
    let made;
    try { made = JSON.parse(text); } catch { /* It is no receipt then. */ }
    return { end: client.isReceipt(order, made) ? "done" : "lost", said, hint };
  }
  if ([429, 503].includes(answer.status)) return { end: "busy", said, hint };
  return { end: [408, 409, 425].includes(answer.status) || answer.status >= 500 ? "lost" : "refused", said, hint };
}

serve(async (operation) => {
  let open = false;
  let last;
  for (let number = 1; number <= client.tries; number += 1) {
    last = await once(operation, number);
    if (last.end === "done") return last.said;
    console.log(`${operation.id} attempt ${number}: ${last.said}`);
    open ||= last.end === "lost";
    if (!client.repeats(last.end)) break;
    if (number < client.tries) await pause(last.hint + client.wait(number));
  }
  // What may have happened once may have happened, whatever came after it.
  return client.fails(open && last.end !== "refused" ? "lost" : last.end, last.said);
});
