//! Http mode as its users meet it: the README's service, started by brownout and running already.

use std::ffi::OsString;
use std::process::Command;

use crate::brownout::{Run, failed, program, python, root, run};
use crate::cli::{brownout, refused};
use crate::control::of_readme;

/// The README's scenario for a service, in a file of its own.
fn orders() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    let file = folder.path().join("orders.yaml");
    std::fs::write(&file, of_readme("# orders.yaml")).expect("writable");
    let file = file.to_str().expect("UTF-8").to_owned();
    (folder, file)
}

fn shop(kind: &str) -> [OsString; 3] {
    let file = root().join("tests/clients/service/shop.py");
    [python(), file.into_os_string(), kind.into()]
}

fn broken(run: &Run) -> Vec<&str> {
    failed(run.only())
}

#[test]
fn the_service_of_the_readme_is_driven_and_judged() {
    let (_folder, file) = orders();
    let careful = run(&[&file], &shop("careful"), &[]);
    assert_eq!(careful.code, Some(0), "{}", careful.printed);
    assert_eq!(careful.only()["control"], "passed");
    let careless = run(&[&file], &shop("careless"), &[]);
    assert_eq!(careless.code, Some(1), "{}", careless.printed);
    assert_eq!(broken(&careless), ["no_double_charges"]);
    let reproduce = careless.only()["reproduce"].as_str().expect("a command");
    assert!(reproduce.contains("shop.py careless"), "{reproduce}");

    let dead = [python(), "-c".into(), "raise SystemExit('no configuration')".into()];
    let dead = run(&[&file], &dead, &[]);
    assert_eq!(dead.code, Some(2), "{}", dead.printed);
    let reason = dead.only()["reason"].to_string();
    assert!(
        reason.contains("it exited with code 1, and the last it wrote to standard error was `no"),
        "{reason}"
    );
}

#[test]
fn searches_find_what_breaks_a_service() {
    let (folder, file) = orders();
    let found = folder.path().join("found.yaml");
    let output = Command::new(program())
        .args(["explore", &file, "--depth", "1", "--write"])
        .arg(&found)
        .args(["--format", "json", "--"])
        .args(shop("careless"))
        .output()
        .expect("brownout starts");
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let again = run(&[found.to_str().expect("UTF-8")], &shop("careless"), &[]);
    assert_eq!(again.code, Some(1), "{}", again.printed);
}

#[test]
fn what_a_command_line_says_wrongly_of_a_service_is_refused() {
    let (_folder, file) = orders();
    let file = file.as_str();
    let target = "http://127.0.0.1:9";
    for (line, code, parts) in [
        (&["run", file][..], 3, &["no command stands after `--`"][..]),
        (&["run", file, "--mode", "stdio", "--", "true"], 3, &["calls a service", "--mode http"]),
        (&["run", "payments-calm", "--mode", "http", "--", "true"], 3, &["add `http: {request"]),
        (&["run", file, "--target", target, "--mode", "exec"], 3, &["leave `--mode` out"]),
        (&["run", file, "--target", target, "--jobs", "2"], 3, &["one run at a time"]),
        (&["run", file, "--target", target], 3, &["fix the provider's port with `--port 9400`"]),
        (&["run", file, "--target", target, "--speed", "2"], 3, &["`--speed` gives"]),
        (&["run", file, "--target", "localhost:9"], 3, &["write it as `http://127.0.0.1:9000`"]),
        (&["run", file, "--target", "https://localhost:9"], 3, &["HTTPS"]),
        (
            &["hunt", file, "--target", "http://example.com"],
            3,
            &["leads off this machine", "`--allow-network example.com`"],
        ),
    ] {
        refused(&brownout(line), code, parts);
    }
}

#[test]
fn a_service_that_should_run_already_and_does_not_is_said_at_once() {
    let (folder, file) = orders();
    let text = std::fs::read_to_string(&file).expect("readable").replace("30s", "200ms");
    std::fs::write(&file, text).expect("writable");
    let free = || std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port is free");
    let port = |one: &std::net::TcpListener| one.local_addr().expect("it listens").port();
    let (place, provider) = {
        let (nobody, provider) = (free(), free());
        (format!("http://127.0.0.1:{}", port(&nobody)), port(&provider))
    };
    let out = folder.path().join("out");
    let out = out.to_str().expect("UTF-8");
    let line = ["run", &file, "--target", &place, "--port", &provider.to_string(), "--out", out];
    let said = brownout(&line);
    refused(&said, 4, &[&place, "did not answer `GET /health` with 2xx within 200 ms", "start it"]);
}
