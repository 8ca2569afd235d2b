// A shop's tests against brownout: one of them must fail, and the test that runs these knows which.

import assert from "node:assert/strict";
import { test } from "node:test";
import { brownout } from "../../../harness/loops/brownout_node.mjs";

async function pay(mock, order, key) {
  const headers = { authorization: `Bearer ${mock.api_key}`, "content-type": "application/json" };
  if (key) headers["idempotency-key"] = key;
  const body = JSON.stringify({ amount: 1999, currency: "usd", order });
  for (let attempt = 0; attempt < 4; attempt += 1) {
    try {
      const answer = await fetch(`${mock.url}/v1/charges`, { method: "POST", headers, body });
      if (answer.ok) return (await answer.json()).status;
    } catch {
      // It is tried again, as after any other failure.
    }
    await new Promise((over) => setTimeout(over, 100));
  }
  return "unknown";
}

const payForAll = (keyed) => async (mock) => {
  for (let n = 0; n < 5; n += 1) {
    const order = `order-${n}`;
    assert.ok(await mock.claim(order, await pay(mock, order, keyed ? `key-${n}` : undefined)));
  }
};

const lost = "scenarios/payments/lost-response.yaml";
test("with a key it passes", brownout(lost, payForAll(true), { seed: 3 }));
test("without a key it fails", brownout(lost, payForAll(false), { seed: 3 }));
