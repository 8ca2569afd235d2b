// A careful client to start from: put your own code in the place of `send`, and keep what is around it.
//
// - One key for all attempts of an operation, so that the provider does the work once.
// - Never sooner again than the provider asks for (`Retry-After`), and not after the caller's deadline.
// - What may have happened is reported as unknown, never as failed.
//
// brownout starts it once an operation and hands over BROWNOUT_OPERATION; it reads the exit code.
// Node 18 or later, nothing to install.

const METHOD = "POST";
const PATH = "/v1/charges";
const AUTH_HEADER = "Authorization";
const AUTH_SCHEME = "Bearer ";
// Empty where the API takes no key: then what may have happened is not tried again.
const KEY_HEADER = "Idempotency-Key";
const FORM = false;
// Headers that are the same in every request.
const HEADERS = {};
// What an answer must hold to be a receipt; null stands for anything.
const RECEIPT = {"id": null, "status": "succeeded"};

const TRIES = 5;
const TIMEOUT_MS = 5000;
const [SUCCEEDED, FAILED, UNKNOWN] = [0, 1, 75];

/** Does one operation; returns the exit code that says what became of it, and why. */
async function work(operation) {
  const giveUpAt = performance.now() + operation.deadline_ms - 1000;
  let mayHaveHappened = false;
  let detail = "";
  for (let attempt = 0; attempt < TRIES; attempt += 1) {
    const end = await send(operation);
    detail = end.detail;
    if (end.kind === "done") return [SUCCEEDED, detail];
    mayHaveHappened ||= end.kind === "ambiguous";
    const isSafe = KEY_HEADER !== "" || !mayHaveHappened;
    const pauseMs = Math.max(end.askedMs ?? 0, (0.5 + Math.random() / 2) * 200 * 2 ** attempt);
    if (end.kind === "permanent" || !isSafe || performance.now() + pauseMs > giveUpAt) break;
    if (attempt + 1 < TRIES) await sleep(pauseMs);
  }
  return [mayHaveHappened ? UNKNOWN : FAILED, detail];
}

/** One attempt: how it ended, a word about it, and how many milliseconds to wait at least. */
async function send(operation) {
  const headers = { [AUTH_HEADER]: AUTH_SCHEME + operation.api_key, ...HEADERS };
  headers["Content-Type"] = FORM ? "application/x-www-form-urlencoded" : "application/json";
  // Your own name of the work, such as the order's number: the same for each attempt.
  if (KEY_HEADER) headers[KEY_HEADER] = operation.id;
  const body = FORM ? form(operation.input) : JSON.stringify(operation.input);
  try {
    const signal = AbortSignal.timeout(TIMEOUT_MS);
    const answer = await fetch(operation.url + PATH, { method: METHOD, headers, body, signal });
    const text = await answer.text();
    const detail = `status ${answer.status}`;
    if (answer.ok) return judge(JSON.parse(text));
    const askedMs = askedWaitMs(answer.headers.get("Retry-After"));
    if (answer.status === 429) return { kind: "refused", detail, askedMs };
    const isPassing = [408, 409, 425].includes(answer.status) || answer.status >= 500;
    return { kind: isPassing ? "ambiguous" : "permanent", detail, askedMs };
  } catch (error) {
    // A lost connection, a time-out, a body that cannot be read.
    return { kind: "ambiguous", detail: String(error.cause ?? error) };
  }
}

/** A success counts only when its body says so. */
function judge(body) {
  for (const [field, value] of Object.entries(RECEIPT)) {
    const found = body?.[field] ?? null;
    if (found === null || (value !== null && found !== value)) {
      return { kind: "ambiguous", detail: `the answer is no receipt: \`${field}\`` };
    }
  }
  return { kind: "done", detail: "" };
}

/** What `Retry-After` asks for, in seconds or as a date; 0 when it makes no sense. */
function askedWaitMs(text) {
  if (/^\d+$/.test(text ?? "")) return Number(text) * 1000;
  const until = Date.parse(text ?? "");
  return Number.isNaN(until) ? 0 : Math.max(0, until - Date.now());
}

/** `{a: {b: 1}}` as `a[b]=1`. */
function form(value, name = "") {
  if (typeof value !== "object" || value === null) {
    return `${encodeURIComponent(name)}=${encodeURIComponent(value)}`;
  }
  const inner = ([key, one]) => form(one, name ? `${name}[${key}]` : key);
  return Object.entries(value).map(inner).join("&");
}

/** At least so long: a timer may fire a little early. */
function sleep(ms) {
  return new Promise((resolve) => setTimeout(resolve, Math.ceil(ms) + 2));
}

const [code, why] = await work(JSON.parse(process.env.BROWNOUT_OPERATION));
console.log(why);
process.exit(code);
