//! How traces are built and read, and what their words mean.

use serde_json::{Value, json};

use super::build::TraceBuilder;
use super::read::{TraceError, read};
use super::reading::Fate;
use super::testing::{trace, trace_with};
use super::{Ended, Place, RequestId, Trace};

const STARTED: &str = r#"{"at_us":0,"event":"run_started","version":1,"brownout":"0","scenario":{},"apis":{},"file":"f","seed":1,"run":"main","mode":"stdio","clock":"real"}"#;
const FINISHED: &str = r#"{"at_us":9,"event":"run_finished","reason":"completed"}"#;

fn id(number: u32) -> RequestId {
    RequestId(Place::new(number))
}

/// The readings of the second of two requests.
fn second(lines: &str) -> (bool, bool, u64) {
    let trace = trace(lines);
    (trace.is_retry(id(1)), trace.is_transport_repeat(id(1)), trace.waited_us(id(0), id(1)))
}

#[test]
fn a_whole_trace_is_read_and_numbered_by_line() {
    let text = format!("{STARTED}\n\n{FINISHED}\n");
    let mut seen = Vec::new();
    let trace = read(text.as_bytes(), |event| seen.push(event.seq)).unwrap();
    assert!(trace.is_whole());
    assert_eq!(seen, [1, 3]);
    assert_eq!(trace.last_at_us, 9);
}

#[test]
fn a_cut_trace_is_read_up_to_the_cut_and_says_so() {
    let text = format!("{STARTED}\n{FINISHED}");
    let broken = &text[..text.len() - 4];
    let trace = read(broken.as_bytes(), |_| {}).unwrap();
    assert!(!trace.is_whole());
    assert!(trace.cut.unwrap().contains("line 2"));
    let trace = read(STARTED.as_bytes(), |_| {}).unwrap();
    assert!(trace.cut.unwrap().contains("without a `run_finished`"));
}

#[test]
fn bytes_that_are_no_utf_8_end_the_reading_and_nothing_more() {
    let mut bytes = format!("{STARTED}\n").into_bytes();
    bytes.extend([0xff, 0xfe, b'\n']);
    let trace = read(bytes.as_slice(), |_| {}).unwrap();
    assert!(trace.cut.unwrap().contains("line 2"));
}

#[test]
fn what_is_no_trace_is_refused_with_the_line_and_a_cure() {
    let check = |text: &str| read(text.as_bytes(), |_| {}).unwrap_err();
    assert!(matches!(check(""), TraceError::Empty));
    assert!(matches!(check("\n \n"), TraceError::Empty));
    assert!(matches!(check("name: a scenario\n"), TraceError::NoTrace(_)));
    assert!(matches!(check(FINISHED), TraceError::NoTrace(_)));
    let newer = check(&STARTED.replace(r#""version":1"#, r#""version":7"#));
    assert!(newer.to_string().contains("version `7`"), "{newer}");
}

#[test]
fn what_is_handed_out_again_begins_anew() {
    let moved = r#"{"at_us":5,"event":"message_moved","request":9,"provider":"provider","operation":"op-0001","message":"m","receives":2,"state":"received"}"#;
    let told = r#"{"at_us":5,"event":"webhook_sent","provider":"provider","delivery":1,"webhook":"m","kind":"a","operation":"op-0001"}"#;
    let goes_on = |between: &str, deliver: &Value| {
        let lines = format!(
            r#"{{"at_us":0,"event":"request_received","request":1}}
            {between}
            {{"at_us":9,"event":"request_received","request":2,"attempt":2}}"#
        );
        let scenario = json!({"workload": {"deliver": deliver}});
        trace_with(&json!({"scenario": scenario}), &lines).next(id(0)).is_some()
    };
    let (queue, webhook) = (json!({"queue": "messages"}), json!({"webhook": {"path": "/hooks"}}));
    assert_eq!((goes_on(moved, &queue), goes_on(told, &webhook)), (false, false));
    assert!(goes_on("", &queue) && goes_on("", &webhook), "by itself");
    assert!(goes_on(&moved.replace("op-0001", "op-0002"), &queue), "another message");
    assert!(goes_on(told, &Value::Null), "who made the call is only told of it");
}

#[test]
fn the_same_attempts_are_neighbours_whatever_lies_between() {
    let trace = trace(
        r#"{"at_us":0,"event":"request_received","request":1}
        {"at_us":1,"event":"request_received","request":2,"operation":"op-0002"}
        {"at_us":2,"event":"request_received","request":3,"submit":2}
        {"at_us":3,"event":"request_received","request":4,"attempt":2}
        {"at_us":4,"event":"request_received","request":5,"by":"provider"}"#,
    );
    assert_eq!(trace.next(id(0)), Some(id(3)));
    assert_eq!(trace.previous(id(3)), Some(id(0)));
    assert_eq!(trace.next(id(3)), None);
    assert_eq!(trace.chains().count(), 3);
    let first = trace.find_operation("op-0001").unwrap();
    assert_eq!(trace.requests_of(first).count(), 4);
    assert_eq!(trace.attempts_of(first).count(), 3);
    assert_eq!(trace.submits_of(first).count(), 2);
}

#[test]
fn after_a_success_an_attempt_is_no_retry_and_after_a_failure_it_is() {
    let after = |answer: &str, next: &str| {
        second(&format!(
            r#"{{"at_us":0,"event":"request_received","request":1}}
            {{"at_us":5,"event":"response_sent","request":1,{answer}}}
            {{"at_us":9,"event":"request_received","request":2,"attempt":2{next}}}"#
        ))
        .0
    };
    assert!(!after(r#""status":200"#, ""));
    assert!(after(r#""status":200,"unusable":"no JSON""#, ""));
    assert!(after(r#""status":503"#, ""));
    assert!(after(r#""status":400"#, ""));
    assert!(!after(r#""status":307"#, ""));
    assert!(!after(r#""status":417"#, ""));
    assert!(after(r#""status":417"#, r#","headers":{"expect":"100-continue"}"#));
    assert!(after(r#""status":401"#, ""));
    assert!(!after(r#""status":401"#, r#","auth_digest":"another""#));
}

#[test]
fn two_of_the_same_in_flight_are_a_retry_and_two_items_are_not() {
    let hedged = |next: &str| {
        second(&format!(
            r#"{{"at_us":0,"event":"request_received","request":1}}
            {{"at_us":5,"event":"request_received","request":2,"attempt":2{next}}}
            {{"at_us":9,"event":"response_sent","request":1,"status":200}}"#
        ))
        .0
    };
    assert!(hedged(""));
    assert!(!hedged(r#","canonical_digest":"item 2""#));
}

#[test]
fn a_wait_counts_from_where_the_client_could_know() {
    let waited = |ends: &str| {
        second(&format!(
            r#"{{"at_us":100,"event":"request_received","request":1}}
            {ends}
            {{"at_us":1000,"event":"request_received","request":2,"attempt":2}}"#
        ))
        .2
    };
    let head = r#"{"at_us":700,"event":"response_sent","request":1,"status":503,"head_at_us":400}"#;
    assert_eq!(waited(head), 600);
    assert_eq!(waited(r#"{"at_us":800,"event":"connection_ended","request":1}"#), 200);
    let reset =
        r#"{"at_us":800,"event":"connection_ended","request":1,"by":"provider","how":"rst"}"#;
    assert_eq!(waited(reset), 900);
    let cut = r#"{"at_us":700,"event":"response_sent","request":1,"status":200,"head_at_us":400,"complete":false,"unusable":"cut"}
        {"at_us":700,"event":"connection_ended","request":1}"#;
    assert_eq!(waited(cut), 300);
}

#[test]
fn one_repeat_on_a_reused_connection_is_the_transports_own() {
    let repeat = |first: &str, end: &str, next: &str| {
        second(&format!(
            r#"{{"at_us":0,"event":"request_received","request":1{first}}}
            {{"at_us":5,"event":"connection_ended","request":1,{end}}}
            {{"at_us":6,"event":"request_received","request":2,"attempt":2{next}}}"#
        ))
        .1
    };
    let closed = r#""by":"provider","how":"fin""#;
    assert!(repeat(r#","reused":true"#, closed, ""));
    assert!(!repeat("", closed, ""), "a fresh connection");
    assert!(!repeat(r#","reused":true"#, r#""by":"client""#, ""), "the client's own close");
    assert!(!repeat(r#","reused":true"#, closed, r#","key":"new""#), "another key");
    assert!(!repeat(r#","reused":true"#, closed, r#","body_digest":"new""#), "other bytes");
    let unread = r#","reused":true,"body_unread":true"#;
    assert!(repeat(unread, closed, r#","body_digest":"new""#), "of the first no byte was read");
    let trace = trace(
        r#"{"at_us":0,"event":"request_received","request":1,"reused":true}
        {"at_us":5,"event":"connection_ended","request":1,"by":"provider"}
        {"at_us":6,"event":"request_received","request":2,"reused":true}
        {"at_us":7,"event":"connection_ended","request":2,"by":"provider"}
        {"at_us":8,"event":"request_received","request":3,"reused":true}"#,
    );
    assert!(trace.is_transport_repeat(id(1)) && !trace.is_transport_repeat(id(2)), "once");
}

#[test]
fn ambiguous_is_what_leaves_the_work_open() {
    let fate = |answer: &str| {
        let lines = format!(
            r#"{{"at_us":0,"event":"request_received","request":1}}
            {{"at_us":5,"event":"response_sent","request":1,{answer}}}"#
        );
        trace(&lines).fate(id(0))
    };
    for status in [408, 409, 425, 500, 502, 503, 529] {
        assert_eq!(fate(&format!(r#""status":{status}"#)), Fate::Ambiguous, "{status}");
    }
    for status in [400, 402, 404, 422, 429] {
        assert_eq!(fate(&format!(r#""status":{status}"#)), Fate::Rejected, "{status}");
    }
    assert_eq!(fate(r#""status":409,"class":"permanent""#), Fate::Rejected);
    assert_eq!(fate(r#""status":200"#), Fate::Usable);
    assert_eq!(fate(r#""status":200,"unusable":"no `/id`""#), Fate::Ambiguous);
    assert_eq!(fate(r#""status":200,"complete":false"#), Fate::Usable, "cut, and it still parses");
    assert_eq!(fate(r#""status":400,"complete":false"#), Fate::Ambiguous, "a cut rejection");
    let nothing = trace(r#"{"at_us":0,"event":"request_received","request":1}"#);
    assert_eq!(nothing.fate(id(0)), Fate::Ambiguous);
}

#[test]
fn the_smallest_well_formed_hint_counts_and_retry_after_outranks_limit_fields() {
    let allowed = |hints: &str| {
        let lines = format!(
            r#"{{"at_us":0,"event":"request_received","request":1}}
            {{"at_us":70,"event":"response_sent","request":1,"status":429,"head_at_us":50,"hints":{hints}}}"#
        );
        trace(&lines).earliest_allowed(id(0)).map(|(_, at_us)| at_us)
    };
    let header = r#"{"source":"retry-after","text":"2","wait_us":2000000}"#;
    let body = r#"{"source":"body:/error/retry_after","text":"1","wait_us":1000000}"#;
    let limit = r#"{"source":"x-ratelimit-reset-requests","text":"1ms","wait_us":1000}"#;
    let broken = r#"{"source":"retry-after","text":"soon"}"#;
    let date = r#"{"source":"retry-after","wait_us":3000000,"until_us":3000050}"#;
    assert_eq!(allowed(&format!("[{header}]")), Some(2_000_050));
    assert_eq!(allowed(&format!("[{header},{body}]")), Some(1_000_070));
    assert_eq!(allowed(&format!("[{header},{limit}]")), Some(2_000_050));
    assert_eq!(allowed(&format!("[{limit}]")), Some(1_050));
    assert_eq!(allowed(&format!("[{broken}]")), None);
    assert_eq!(allowed(&format!("[{date}]")), Some(2_000_050), "a date, less one second");
}

#[test]
fn slack_and_reaction_exist_on_the_real_clock_only() {
    let both = |trace: &Trace| (trace.slack_us(), trace.upper_slack_us(), trace.reaction_us());
    assert_eq!(both(&trace("")), (0, 0, 0));
    let real = trace_with(&json!({"clock": "real"}), "");
    assert_eq!(both(&real), (2_000, 1_000_000, 250_000));
    let fast = trace_with(&json!({"clock": "real", "speed": 20}), "");
    assert_eq!(both(&fast), (40_000, u64::MAX, 5_000_000));
    assert!(real.judges_upper_bounds() && !fast.judges_upper_bounds());
    let late = |late_us: u64, speed: u32| {
        let end = format!(
            r#"{{"at_us":9,"event":"run_finished","reason":"completed","late_us":{late_us}}}"#
        );
        trace_with(&json!({"clock": "real", "speed": speed}), &end).was_too_busy()
    };
    assert!(late(10_001, 20) && !late(10_000, 20) && !late(40_000, 5) && !late(90_000, 1));
}

#[test]
fn the_first_final_claim_stands_and_an_unknown_may_be_replaced() {
    let claim = |claims: &[&str]| {
        let lines: Vec<String> = claims
            .iter()
            .map(|claim| format!(r#"{{"at_us":1,"event":"operation_finished","claim":"{claim}"}}"#))
            .collect();
        let trace = trace(&lines.join("\n"));
        let (_, submit) = trace.submits().next().unwrap();
        trace.final_claim(submit).map(|claim| format!("{:?}", claim.claim))
    };
    assert_eq!(claim(&["unknown", "succeeded"]).as_deref(), Some("Succeeded"));
    assert_eq!(claim(&["failed", "succeeded"]).as_deref(), Some("Failed"));
    assert_eq!(claim(&["unknown", "unknown"]).as_deref(), Some("Unknown"));
    let driver =
        trace(r#"{"at_us":1,"event":"operation_finished","claim":"unknown","by":"driver"}"#);
    let (_, submit) = driver.submits().next().unwrap();
    assert!(driver.final_claim(submit).is_none(), "a claim of the driver is silence");
}

#[test]
fn a_split_reading_gives_guessed_requests_operations_of_their_own() {
    let trace = trace_with(
        &json!({"mode": "suite"}),
        r#"{"at_us":0,"event":"request_received","request":1,"recognized":"new","operation":"a"}
        {"at_us":0,"event":"effect_committed","request":1,"operation":"a"}
        {"at_us":5,"event":"request_received","request":2,"recognized":"guess","operation":"a","attempt":2}
        {"at_us":5,"event":"effect_committed","request":2,"effect":2,"operation":"a"}
        {"at_us":6,"event":"request_received","request":3,"recognized":"sdk","operation":"a","attempt":3}"#,
    );
    let split = trace.split().unwrap();
    assert_eq!(split.operations().count(), 2);
    let first = split.find_operation("a").unwrap();
    assert_eq!((split.requests_of(first).count(), split.effects_of(first).count()), (1, 1));
    assert_eq!(split.previous(id(2)), Some(id(1)), "what the SDK joined stays joined");
    assert!(trace.merged().is_none(), "there is one operation only");
}

#[test]
fn a_merged_reading_makes_one_operation_of_those_that_nothing_told_apart() {
    let trace = trace(
        r#"{"at_us":0,"event":"operation_submitted"}
        {"at_us":1,"event":"request_received","request":1,"recognized":"new","operation":"x-1"}
        {"at_us":2,"event":"request_received","request":2,"recognized":"new","operation":"x-2"}
        {"at_us":2,"event":"effect_committed","request":2,"operation":"x-2"}
        {"at_us":2,"event":"webhook_sent","provider":"provider","delivery":1,"webhook":"m","kind":"a","operation":"x-2"}
        {"at_us":2,"event":"message_moved","request":2,"provider":"provider","operation":"x-2","message":"m","receives":1,"state":"received"}
        {"at_us":3,"event":"operation_finished","claim":"succeeded"}"#,
    );
    let merged = trace.merged().unwrap();
    let one = merged.find_operation("op-0001").unwrap();
    assert_eq!((merged.webhooks_of(one).len(), merged.messages_of(one).len()), (1, 1));
    assert_eq!((merged.requests_of(one).count(), merged.effects_of(one).count()), (2, 1));
    assert!(merged.is_done(one) && !trace.is_done(trace.find_operation("op-0001").unwrap()));
    assert!(trace.split().is_none(), "nothing joined by guess");
}

#[test]
fn a_message_that_was_deleted_is_done_only_where_its_work_is() {
    let lines = r#"{"at_us":0,"event":"operation_submitted","call":"send_message"}
        {"at_us":1,"event":"request_received","request":1,"route":"delete_message","unsafe":false}
        {"at_us":2,"event":"response_sent","request":1,"status":200}"#;
    let work = r#"{"at_us":3,"event":"request_received","request":2,"route":"do_work"}
        {"at_us":3,"event":"effect_committed","request":2}"#;
    let is_done = |deliver: Value, route: Value, lines: &str| {
        let scenario = json!({"workload": {"deliver": deliver}});
        let apis = json!({"queue": {"routes": [{"name": "send_message"}, route]}});
        let trace = trace_with(&json!({"scenario": scenario, "apis": apis}), lines);
        trace.is_done(trace.find_operation("op-0001").unwrap())
    };
    let worked = json!({"name": "do_work", "effect": {"kind": "work"}});
    let by_queue = || json!({"queue": "messages"});
    assert!(!is_done(by_queue(), worked.clone(), lines));
    assert!(is_done(by_queue(), worked.clone(), &format!("{lines}\n{work}")));
    assert!(is_done(by_queue(), json!({"name": "look"}), lines), "there is nothing to do");
    assert!(is_done(json!("call"), worked, lines), "the client sends the message itself");
}

#[test]
fn a_batch_is_done_when_every_item_of_its_own_list_is() {
    let routes = json!({"provider": {"routes": [{"name": "label", "effect": {}, "batch": {}}]}});
    let is_done_by = |call: &str, input: &str, subjects: &[&str]| {
        let mut lines = format!(
            r#"{{"at_us":0,"event":"operation_submitted","call":"{call}","input":{input}}}
            {{"at_us":1,"event":"request_received","request":1,"route":"label"}}"#
        );
        for (number, subject) in (1..).zip(subjects) {
            let effect = format!(
                r#"{{"at_us":2,"event":"effect_committed","request":1,"effect":{number}{subject}}}"#
            );
            lines.extend(["\n", &effect]);
        }
        let trace = trace_with(&json!({"apis": routes}), &lines);
        trace.is_done(trace.find_operation("op-0001").unwrap())
    };
    let is_done = |input: &str, subjects: &[&str]| is_done_by("label", input, subjects);
    let (a, b) = (r#","subject":"a""#, r#","subject":"b""#);
    let plain = r#"{"images":["a","b"]}"#;
    assert!(is_done(plain, &[a, b]) && !is_done(plain, &[a]) && !is_done(plain, &[]));
    let tagged = r#"{"images":["a","b"],"languages":["en","de","fr"]}"#;
    assert!(is_done(tagged, &[a, b]) && !is_done(tagged, &[b]), "the longer list is another");
    let repeated = r#"{"images":["a","a","b"]}"#;
    assert!(is_done(repeated, &[a, b]) && !is_done(repeated, &[a]), "the items repeat");
    assert!(is_done(plain, &[""]), "an effect that does not say what it is of");
    let objects = r#"{"images":[{"name":"a","kind":"png"},{"name":"b","kind":"png"}]}"#;
    assert!(is_done(objects, &[a, b]) && !is_done(objects, &[a]), "what is named stands inside");
    assert!(is_done(r#"{"images":[1,2]}"#, &[a]), "no list of these names");
    // A service is asked for something of its own.
    assert!(is_done_by("order", plain, &[a, b]) && !is_done_by("order", plain, &[a]));
}

#[test]
fn the_time_of_a_submit_begins_with_its_first_request_where_a_program_starts_for_it() {
    let lines = r#"{"at_us":5,"event":"operation_submitted","deadline_us":100}
        {"at_us":90,"event":"request_received","request":1}
        {"at_us":120,"event":"request_received","request":2,"attempt":2}
        {"at_us":130,"event":"operation_submitted","submit":2,"deadline_us":100}"#;
    let gives_up = |mode: &str| {
        let trace = trace_with(&json!({"mode": mode}), lines);
        let one = trace.find_operation("op-0001").unwrap();
        trace
            .submits_of(one)
            .map(|(_, submit)| trace.gives_up_at_us(submit).unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(gives_up("stdio"), [105, 230]);
    assert_eq!(gives_up("exec"), [190, 230]);
}

#[test]
fn a_request_takes_at_most_400_bytes_with_all_that_belongs_to_it() {
    let operations = 2_000_u32;
    let mut builder = TraceBuilder::new();
    let mut push = |line: String| builder.push(&serde_json::from_str(&line).unwrap());
    push(STARTED.to_owned());
    for n in 0..operations {
        push(format!(
            r#"{{"at_us":1,"event":"operation_submitted","operation":"op-{n:04}","submit":1,"n":{n},"call":"create_charge","input":{{"amount":1999,"currency":"usd","order":"order-{n}"}},"deadline_us":1}}"#
        ));
        for attempt in 1..=3_u32 {
            let request = n * 3 + attempt;
            let drawn = if attempt < 3 { r#"[["busy","status"]]"# } else { "[]" };
            push(format!(
                r#"{{"at_us":1,"event":"request_received","request":{request},"provider":"provider","route":"create_charge","operation":"op-{n:04}","attempt":{attempt},"recognized":"url","method":"POST","path":"/v1/charges","unsafe":true,"keyed":true,"body_digest":"{n}","canonical_digest":"{n}","key":"0b0e1c52-6d4c-4b3e-9f0a-{n:012}","drawn":{drawn}}}"#
            ));
            if attempt < 3 {
                push(format!(
                    r#"{{"at_us":1,"event":"fault_injected","request":{request},"provider":"provider","rule":"busy","fault":"status","at":"before_commit","scheduled":true,"detail":"503"}}"#
                ));
                push(format!(
                    r#"{{"at_us":1,"event":"response_sent","request":{request},"provider":"provider","status":503,"class":"transient","head_at_us":1,"end_at_us":1,"complete":true,"hints":[{{"source":"retry-after","text":"1","wait_us":1000000}}]}}"#
                ));
                continue;
            }
            push(format!(
                r#"{{"at_us":1,"event":"effect_committed","effect":{request},"request":{request},"provider":"provider","operation":"op-{n:04}","kind":"charge","amount":1999,"unit":"usd","billed":true}}"#
            ));
            push(format!(
                r#"{{"at_us":1,"event":"response_sent","request":{request},"provider":"provider","status":201,"class":"success","head_at_us":1,"end_at_us":1,"complete":true,"effects":[{request}]}}"#
            ));
        }
        push(format!(
            r#"{{"at_us":1,"event":"operation_finished","operation":"op-{n:04}","claim":"succeeded"}}"#
        ));
    }
    let trace = builder.finish().unwrap();
    let requests = trace.requests().count();
    let each = trace.bytes() / requests;
    println!(
        "{each} bytes a request, with its share of operation, key, strikes, hints, effect and claim"
    );
    assert!(each <= 400, "{each} bytes a request");
}

#[test]
fn the_end_of_a_connection_counts_among_the_bytes() {
    let asked = r#"{"at_us":1,"event":"request_received","request":1,"provider":"p","method":"GET","path":"/"}"#;
    let ended = r#"{"at_us":2,"event":"connection_ended","provider":"p","request":1,"by":"client","how":"fin"}"#;
    let [without, with] =
        [asked.to_owned(), format!("{asked}\n{ended}")].map(|lines| trace(&lines).bytes());
    assert!(with >= without + size_of::<Ended>(), "{without} without, {with} with it");
}

#[test]
fn an_event_about_something_unknown_is_no_reason_to_panic() {
    let trace = trace(
        r#"{"at_us":0,"event":"response_sent","request":9,"status":200,"effects":[7]}
        {"at_us":0,"event":"effect_reversed","request":9,"effect":7}
        {"at_us":0,"event":"effect_committed","request":9,"effect":8}
        {"at_us":0,"event":"idempotency","request":9,"key":"k","state":"stored"}
        {"at_us":0,"event":"rate_limited","request":9}
        {"at_us":0,"event":"fault_injected","request":9}
        {"at_us":0,"event":"connection_ended","request":9}"#,
    );
    assert_eq!(trace.effects().count(), 1);
    assert_eq!(trace.strikes().len(), 1);
}

#[test]
fn an_answer_tells_of_an_effect_that_is_seen_only_later() {
    let trace = trace(
        r#"{"at_us":0,"event":"request_received","request":1}
        {"at_us":1,"event":"response_sent","request":1,"status":201,"effects":[1]}
        {"at_us":2,"event":"effect_reversed","request":2,"effect":1}
        {"at_us":9,"event":"effect_committed","request":1}"#,
    );
    let told: Vec<_> = trace.told_by(id(0)).collect();
    assert_eq!(told.len(), 1);
    let effect = trace.effect(told[0]);
    assert!(effect.told && effect.reversed.is_some(), "{effect:?}");
}

#[test]
fn requests_that_do_not_name_their_submit_go_on_with_none_that_was_asked_for_later() {
    let two = |second_at: u64, recognized: &str| {
        let lines = format!(
            r#"{{"at_us":0,"event":"operation_submitted"}}
            {{"at_us":{second_at},"event":"operation_submitted","submit":2}}
            {{"at_us":100,"event":"request_received","request":1,"recognized":"{recognized}"}}
            {{"at_us":110,"event":"response_sent","request":1,"status":503}}
            {{"at_us":120,"event":"request_received","request":2,"attempt":2,"recognized":"{recognized}"}}
            {{"at_us":130,"event":"response_sent","request":2,"status":503}}
            {{"at_us":140,"event":"operation_finished","claim":"failed"}}
            {{"at_us":600,"event":"request_received","request":3,"attempt":3,"recognized":"{recognized}"}}"#
        );
        let trace = trace(&lines);
        (0..3).map(|number| trace.is_retry(id(number))).collect::<Vec<_>>()
    };
    assert_eq!(two(500, "extractor"), [false, true, false]);
    assert_eq!(two(50, "extractor"), [false, false, true], "both are at work until one is claimed");
    assert_eq!(two(500, "url"), [false, true, true]);
}
