//! A provider over TLS through the command line: programs find their way and the authority by the variables
//! alone, and verify.

use std::ffi::OsString;

use crate::brownout::{effects, run};

fn scenario(faults: &str) -> String {
    format!(
        "version: 1
name: secure
provider: {{api: payments, tls: true}}
{faults}workload: {{mode: suite, suite: {{exit_0: all_succeeded}}}}
expect: [no_phantom_success]
"
    )
}

/// What programs of two languages do that know nothing but `BROWNOUT_URL`; each charges once.
fn programs() -> [Vec<OsString>; 2] {
    let python = "
import json, os, urllib.request
url = os.environ['BROWNOUT_URL']
assert url.startswith('https://127.0.0.1:'), url
body = json.dumps({'amount': 1999, 'currency': 'usd', 'order': 'order-1'}).encode()
headers = {'Authorization': 'Bearer ' + os.environ['BROWNOUT_API_KEY'], 'Content-Type': 'application/json'}
request = urllib.request.Request(url + '/v1/charges', body, headers)
print(urllib.request.urlopen(request, timeout=20).status)
";
    let node = "
const url = process.env.BROWNOUT_URL;
const headers = { authorization: 'Bearer ' + process.env.BROWNOUT_API_KEY, 'content-type': 'application/json' };
const body = JSON.stringify({ amount: 1999, currency: 'usd', order: 'order-1' });
fetch(url + '/v1/charges', { method: 'POST', headers, body }).then(
  (answer) => process.exit(answer.status === 201 ? 0 : 1),
  (error) => { console.error(error); process.exit(1); },
);
";
    [["python3", "-c", python], ["node", "-e", node]]
        .map(|words| words.map(OsString::from).to_vec())
}

#[test]
fn programs_reach_a_provider_over_tls_by_the_variables_alone() {
    for command in programs() {
        let file = tempfile::NamedTempFile::with_suffix(".yaml").expect("a temporary file");
        std::fs::write(file.path(), scenario("")).expect("it can be written");
        let path = file.path().to_string_lossy().into_owned();
        let done = run(&[&path], &command, &[]);
        let entry = done.only();
        assert_eq!(effects(entry), 1, "{}", done.printed);
        assert_eq!(entry["control"], "passed", "{}", done.printed);
    }
}

#[test]
fn programs_refuse_a_certificate_that_has_expired() {
    for command in programs() {
        let file = tempfile::NamedTempFile::with_suffix(".yaml").expect("a temporary file");
        let faults = "faults: [{name: old, inject: expired_certificate}]\n";
        std::fs::write(file.path(), scenario(faults)).expect("it can be written");
        let path = file.path().to_string_lossy().into_owned();
        let done = run(&[&path], &command, &[]);
        let entry = done.only();
        assert_eq!((effects(entry), &entry["requests"]), (0, &0.into()), "{}", done.printed);
        assert_eq!(entry["control"], "passed", "{}", done.printed);
        assert!(entry["faults"]["old"].as_u64() >= Some(1), "{}", done.printed);
    }
}
