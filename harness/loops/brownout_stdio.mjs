// The stdio loop of brownout for Node: hands operations to your code and says what became of them.
//
// Put this file beside your client and write:
//
//   import { serve, Unknown } from "./brownout_stdio.mjs";
//
//   serve(async (operation) => {
//     // operation.input is what your caller wants, operation.url the mock's base URL,
//     // operation.api_key the key to use; operation.id names it.
//     await charge(operation.url, operation.api_key, operation.input);
//   });
//
// A handler that returns has succeeded, one that throws has failed, and one that throws Unknown says honestly
// that it does not know whether it took effect. What it returns, if text, is kept as the detail; an object such
// as { provider: "backup", detail: "…" } also says which provider did the work. Operations overlap wherever the
// handler awaits. Standard output belongs to the loop: what `console.log` prints goes to standard error. Node 18
// or later, nothing to install.

import { Console } from "node:console";
import { createInterface } from "node:readline";

/** Throw it when you cannot tell whether the operation took effect. */
export class Unknown extends Error {}

/** Reads operations until the end of standard input, and answers each with one line. */
export async function serve(handler, { input = process.stdin, output = process.stdout } = {}) {
  // A stray print must not break a line in two.
  globalThis.console = new Console(process.stderr, process.stderr);
  const work = async (operation) => {
    let outcome = "succeeded";
    let said;
    try {
      said = await handler(operation);
    } catch (error) {
      outcome = error instanceof Unknown ? "unknown" : "failed";
      said = error instanceof Unknown ? error.message : String(error);
    }
    const claim = { id: operation.id, submit: operation.submit, outcome };
    if (typeof said === "string") said = { detail: said };
    for (const name of ["provider", "detail"]) if (said?.[name]) claim[name] = said[name];
    output.write(`${JSON.stringify(claim)}\n`);
  };
  const open = [];
  for await (const line of createInterface({ input })) {
    if (!line.trim()) continue;
    const operation = JSON.parse(line);
    const deadline = new Promise((late) => setTimeout(late, operation.deadline_ms ?? 30_000).unref());
    // One that hangs past its deadline must not keep the program alive.
    open.push(Promise.race([work(operation), deadline]));
  }
  await Promise.all(open);
}
