// A careful client as one long-lived process, through the loop that brownout ships for Node.

import { serve, Unknown } from "../../harness/loops/brownout_stdio.mjs";

const pause = (ms) => new Promise((over) => setTimeout(over, ms));

serve(async (operation) => {
  console.log("a stray line");
  const headers = {
    authorization: `Bearer ${operation.api_key}`,
    "content-type": "application/json",
    "idempotency-key": operation.input.order,
  };
  for (let attempt = 0; attempt < 4; attempt += 1) {
    let wait = 100 * 2 ** attempt;
    try {
      const asked = { method: "POST", headers, body: JSON.stringify(operation.input), signal: AbortSignal.timeout(3000) };
      const answer = await fetch(`${operation.url}/v1/charges`, asked);
      if (answer.ok && (await answer.json()).status === "succeeded") return "";
      wait = Math.max(wait, 1000 * Number(answer.headers.get("retry-after") ?? 0));
    } catch {
      // Whether it was charged is not known; the key makes it safe to ask again.
    }
    await pause(wait);
  }
  throw new Unknown("four attempts were not enough");
});
