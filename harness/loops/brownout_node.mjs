// brownout for Node's test runner: one scenario a test, and the verdict as the assertion.
//
// Put this file beside your tests and write:
//
//   import { test } from "node:test";
//   import { brownout } from "./brownout_node.mjs";
//
//   test("a lost answer charges nobody twice", brownout("tests/lost-answer.yaml", async (mock) => {
//     await pay(mock.url, mock.api_key, "order-1");     // your code, unchanged
//     await mock.claim("order-1", "succeeded");         // what your code told its caller
//   }));
//
// The test fails, with the whole story, unless the run passes. A scenario is a file, its text, or one that comes
// with brownout (`brownout list scenarios`); `{ seed: 7, apis: { mine: text } }` as third argument chooses the
// seed and brings APIs of your own. An operation is named as it is on the wire, by the order or what else the API
// goes by. `mock.env` holds the variables that point an SDK at the mock, and `await mock.verdict()` gives the
// document and leaves the judgement to you. Tests of one file share one `brownout serve`, one after the other; it
// ends with them. The program is `brownout` on PATH, or what BROWNOUT_BIN names. Node 18 or later.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { statSync } from "node:fs";
import { mkdtemp, readFile } from "node:fs/promises";
import http from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

let control;
let latest = Promise.resolve();

async function start() {
  const program = process.env.BROWNOUT_BIN ?? "brownout";
  const out = await mkdtemp(join(tmpdir(), "brownout-"));
  const server = spawn(program, ["serve", "--until-stdin-closes", "--out", out], { stdio: ["pipe", "pipe", "inherit"] });
  const failed = once(server, "error").then(([error]) => { throw error; });
  const exited = once(server, "exit").then(() => { throw new Error(`${program} serve has ended`); });
  failed.catch(() => {});
  exited.catch(() => {});
  const [line] = await Promise.race([once(createInterface({ input: server.stdout }), "line"), failed, exited]);
  // Neither the program nor its output keeps the tests from ending; its input ends with them.
  server.unref();
  server.stdin.unref();
  server.stdout.unref();
  return JSON.parse(line).control;
}

async function call(method, path, body) {
  control ??= start();
  const { url, token } = await control;
  const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
  const request = http.request(url + path, { method, headers, agent: false });
  request.end(body === undefined ? "" : JSON.stringify(body));
  const [response] = await once(request, "response");
  let text = "";
  for await (const piece of response.setEncoding("utf8")) text += piece;
  if (response.statusCode !== 200) throw new Error(JSON.parse(text).error);
  return text;
}

async function play(scenario, body, { seed, apis }, t) {
  const text = typeof scenario === "string" && statSync(scenario, { throwIfNoEntry: false })?.isFile() ? await readFile(scenario, "utf8") : scenario;
  const mock = JSON.parse(await call("PUT", "/v1/scenario", { scenario: text, seed, apis }));
  let document;
  mock.claim = async (operation, outcome, detail = "") =>
    JSON.parse(await call("POST", `/v1/outcomes?run=${mock.run}`, { operation, outcome, detail })).taken;
  mock.verdict = async () => (document ??= JSON.parse(await call("POST", `/v1/verdict?run=${mock.run}`)));
  await body(mock, t);
  if (document) return;
  const { verdict } = await mock.verdict();
  if (verdict !== "passed") assert.fail(await call("GET", `/v1/verdict?run=${mock.run}&format=human`));
}

/** A test function: loads the scenario, runs `body`, and asserts that the run passed. */
export function brownout(scenario, body, options = {}) {
  return (t) => {
    // A server plays one scenario at a time, also for tests that run side by side.
    const mine = latest.then(() => play(scenario, body, options, t));
    latest = mine.catch(() => {});
    return mine;
  };
}
