// brownout for Node's test runner: one scenario a test, and the verdict as the assertion.
//
// Put this file beside your tests and write:
//
//   import { test } from "node:test";
//   import { brownout } from "./brownout_node.mjs";
//
//   test("a lost answer charges nobody twice", brownout("scenarios/payments/lost-response.yaml", async (mock) => {
//     await pay(mock.url, mock.api_key, "order-1");     // your code, unchanged
//     await mock.claim("order-1", "succeeded");         // what your code told its caller
//   }));
//
// The test fails, with the whole story, unless the run passes. `{ seed: 7 }` as third argument chooses the
// seed, `mock.env` holds the variables that point an SDK at the mock, and `await mock.verdict()` gives the
// document and leaves the judgement to you. Tests of one file share one `brownout serve`, which ends with
// the process; run them one after the other (node:test does). The program is `brownout` on PATH, or what
// BROWNOUT_BIN names. Node 18 or later, nothing to install.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import http from "node:http";
import { createInterface } from "node:readline";

let control;

async function start() {
  const program = process.env.BROWNOUT_BIN ?? "brownout";
  const server = spawn(program, ["serve"], { stdio: ["ignore", "pipe", "inherit"] });
  const failed = once(server, "error").then(([error]) => { throw error; });
  const exited = once(server, "exit").then(() => { throw new Error(`${program} serve did not start`); });
  const lines = createInterface({ input: server.stdout });
  const [line] = await Promise.race([once(lines, "line"), failed, exited]);
  exited.catch(() => {});
  process.once("exit", () => server.kill());
  // Neither the program nor its output keeps the tests from ending.
  server.unref();
  server.stdout.unref();
  return JSON.parse(line).control;
}

async function call(method, path, body = "") {
  control ??= start();
  const { url, token } = await control;
  const headers = { authorization: `Bearer ${token}`, "content-type": "application/yaml" };
  const request = http.request(url + path, { method, headers, agent: false });
  request.end(body);
  const [response] = await once(request, "response");
  let text = "";
  for await (const piece of response.setEncoding("utf8")) text += piece;
  if (response.statusCode !== 200) throw new Error(JSON.parse(text).error);
  return text;
}

/** A test function: loads the scenario (a file, or its text), runs `body`, and asserts that the run passed. */
export function brownout(scenario, body, { seed } = {}) {
  return async (t) => {
    const text = scenario.includes("\n") ? scenario : await readFile(scenario, "utf8");
    const mock = JSON.parse(await call("PUT", `/v1/scenario${seed === undefined ? "" : `?seed=${seed}`}`, text));
    let document;
    mock.claim = async (operation, outcome, detail = "") =>
      JSON.parse(await call("POST", "/v1/outcomes", JSON.stringify({ operation, outcome, detail }))).taken;
    mock.verdict = async () => (document ??= JSON.parse(await call("POST", "/v1/verdict")));
    await body(mock, t);
    if (document) return;
    const { verdict } = await mock.verdict();
    if (verdict !== "passed") assert.fail(await call("GET", "/v1/verdict?format=human"));
  };
}
