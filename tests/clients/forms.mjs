// Sends forms with a file by `fetch` and `FormData`: `forms.mjs URL FORMS`; writes what each was answered.

import { createHash } from "node:crypto";

const [url, forms] = process.argv.slice(2);

for (const { name, content, reference } of JSON.parse(forms)) {
  const bytes = Buffer.from(content, "hex");
  const form = new FormData();
  form.append("reference", reference);
  form.append("file", new Blob([bytes], { type: "image/png" }), name);
  const answer = await fetch(`${url}/v1/images`, {
    method: "POST",
    headers: { authorization: "Bearer sk" },
    body: form,
  });
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  console.log(JSON.stringify({ stack: "fetch", status: answer.status, answer: await answer.json(), sha256 }));
}
