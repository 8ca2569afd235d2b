//! HTTP/2 with clients that people use: Node's own module, httpx and reqwest, in clear and over TLS.

use std::ffi::OsString;

use brownout::{Connection, Harness, Operation, Outcome};

use crate::brownout::{effects, python, run};

/// Charges one order over HTTP/2 with a new connection where the old one is of no use any more; a request
/// that the provider has not begun is sent again, and nothing else.
const NODE: &str = "
const http2 = require('node:http2');
const url = process.env.BROWNOUT_URL;
const body = JSON.stringify({ amount: 1999, currency: 'usd', order: 'order-1' });
const headers = {
  ':method': 'POST', ':path': new URL(url).pathname.replace(/\\/$/, '') + '/v1/charges',
  authorization: 'Bearer ' + process.env.BROWNOUT_API_KEY, 'content-type': 'application/json',
};
function charge(left) {
  let refused = false;
  const session = http2.connect(url);
  session.on('error', () => {});
  session.on('goaway', () => { refused = true; });
  const request = session.request(headers);
  let status = 0, text = '';
  request.on('response', (head) => { status = head[':status']; });
  request.on('data', (piece) => { text += piece; });
  request.on('error', () => {});
  request.on('close', () => {
    refused = refused || request.rstCode === http2.constants.NGHTTP2_REFUSED_STREAM;
    session.destroy();
    if (status === 201 && JSON.parse(text).amount === 1999) process.exit(0);
    if (status === 0 && refused && left > 0) return charge(left - 1);
    console.error('status', status, 'code', request.rstCode);
    process.exit(1);
  });
  request.end(body);
}
charge(1);
";

/// The same with httpx, which takes a connection that was taken leave of for what it is.
const HTTPX: &str = "
import os, ssl, sys, httpx
url = os.environ['BROWNOUT_URL']
verify = ssl.create_default_context(cafile=os.environ['SSL_CERT_FILE']) if url.startswith('https') else True
client = httpx.Client(http1=False, http2=True, verify=verify, trust_env=False)
body = {'amount': 1999, 'currency': 'usd', 'order': 'order-1'}
headers = {'authorization': 'Bearer ' + os.environ['BROWNOUT_API_KEY'], 'idempotency-key': 'order-1'}
for _ in range(2):
    try:
        answer = client.post(url + '/v1/charges', json=body, headers=headers)
        assert answer.http_version == 'HTTP/2', answer.http_version
        sys.exit(0 if answer.status_code == 201 else 1)
    except httpx.TransportError as error:
        print(repr(error))
sys.exit(1)
";

fn programs() -> [Vec<OsString>; 2] {
    let node = ["node", "-e", NODE].map(OsString::from).to_vec();
    let httpx = vec![python(), "-c".into(), HTTPX.into()];
    [node, httpx]
}

#[test]
fn programs_charge_once_whatever_streams_and_connections_do() {
    for tls in [false, true] {
        for (inject, requests) in [
            ("status: {code: 201, body: {}}", 0),
            ("rst_stream: {code: refused_stream, at: accept}", 2),
            ("goaway: {}", 2),
            ("goaway: {last_stream: this}", 1),
        ] {
            let fair = requests == 0;
            let faults = if fair {
                String::new()
            } else {
                format!("faults: [{{name: struck, when: {{attempt: 1}}, inject: {{{inject}}}}}]\n")
            };
            let scenario = format!(
                "version: 1\nname: streams\nprovider: {{api: payments, http2: true, tls: {tls}}}\n{faults}\
                 workload: {{mode: suite, suite: {{exit_0: all_succeeded}}}}\nexpect: \
                 [no_phantom_success, no_double_charges]\n"
            );
            for (command, is_httpx) in programs().into_iter().zip([false, true]) {
                // The library below httpx hears nothing more once leave is taken, not even the answer.
                let deaf = is_httpx && inject.contains("last_stream: this");
                let file = tempfile::NamedTempFile::with_suffix(".yaml").expect("a temporary file");
                std::fs::write(file.path(), &scenario).expect("it can be written");
                let path = file.path().to_string_lossy().into_owned();
                let done = run(&[&path], &command, &[]);
                let entry = done.only();
                assert_eq!(entry["control"], "passed", "{inject}: {}", done.printed);
                assert_eq!(effects(entry), 1, "{inject}, TLS {tls}: {}", done.printed);
                let expected = if fair { 1 } else { requests + u64::from(deaf) };
                assert_eq!(entry["requests"], expected, "{inject}, TLS {tls}: {}", done.printed);
                if !fair {
                    assert_eq!(entry["faults"]["struck"], 1, "{inject}: {}", done.printed);
                }
            }
        }
    }
}

async fn charge_once(operation: Operation, _: Connection) -> Outcome {
    let http = reqwest::Client::builder().http2_prior_knowledge().build().expect("a client");
    let asked = http
        .post(format!("{}/v1/charges", operation.url))
        .bearer_auth(&operation.api_key)
        .header("content-type", "application/json")
        .body(operation.input.to_string());
    match asked.send().await {
        Ok(answer) if answer.status() == 201 => Outcome::succeeded(),
        Ok(answer) => Outcome::failed(format!("status {}", answer.status())),
        Err(error) => Outcome::unknown(format!("{error:?}")),
    }
}

fn judged(inject: &str) -> brownout::Judged {
    let text = format!(
        "version: 1
name: reqwest-streams
provider: {{api: payments, http2: true}}
faults: [{{name: struck, when: {{attempt: 1}}, inject: {{{inject}}}}}]
workload:
  call: create_charge
  operations: 3
  input: {{amount: 1999, currency: usd, order: 'order-{{{{ n }}}}'}}
expect: [no_double_charges, bounded_retries: {{max_attempts: 1}}]
"
    );
    let harness = Harness::from_yaml(&text).expect("a right scenario");
    harness.run(charge_once).expect("it runs")
}

#[test]
fn what_the_provider_has_not_begun_reqwest_sends_again_by_itself_and_that_is_no_retry() {
    for (inject, requests) in [
        ("rst_stream: {code: refused_stream, at: accept}", 6),
        ("goaway: {}", 6),
        ("goaway: {last_stream: this}", 3),
    ] {
        let judged = judged(inject);
        if requests == 6 {
            judged.assert();
        }
        let result = &judged.result;
        assert_eq!(result.requests, requests, "{inject}: {}", judged.report());
        assert_eq!(result.operations.succeeded, 3, "{inject}: {}", judged.report());
    }
}

#[test]
fn a_client_that_believes_a_provider_that_lies_charges_twice_without_a_key() {
    let judged = judged("rst_stream: {code: refused_stream, at: after_commit}");
    assert_eq!(judged.result.effects["charge"], 6, "{}", judged.report());
}
