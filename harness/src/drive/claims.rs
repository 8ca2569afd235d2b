//! What a client's lines say: claims about submits, read by the rules of each mode.
//!
//! **Invariant:** a pure reading of text; it knows no process and no clock. A line that makes no claim
//! is the client's output, whatever it looks like.

use std::collections::BTreeMap;
use std::sync::Arc;

use brownout_provider::event::Claim;
use brownout_provider::exchange::Settled;
use serde_json::Value;

use crate::operation::OUTCOME_WORD;

/// The exit code by which a command says that it does not know (EX_TEMPFAIL).
pub const EXIT_UNKNOWN: i32 = 75;

/// A claim as a line states it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// The operation, where the line names one.
    pub operation: Option<String>,
    /// Which submit; 1 unless said.
    pub submit: u32,
    /// The claim.
    pub claim: Claim,
    /// True for a success in a lesser way: from a cache, with a default.
    pub degraded: bool,
    /// Free words.
    pub detail: String,
    /// The provider that served it, where the client says.
    pub provider: Option<Arc<str>>,
}

impl Statement {
    /// Reads a line of stdio mode: one JSON object with `id` and `outcome`.
    #[must_use]
    pub fn from_stdio(line: &str) -> Option<Self> {
        let line = line.trim();
        // Most output is no JSON object; the parser need not look at it.
        if !line.starts_with('{') {
            return None;
        }
        let statement = Self::from_json(line, "id")?;
        statement.operation.is_some().then_some(statement)
    }

    /// Reads a line `BROWNOUT_OUTCOME {…}` of exec or suite mode.
    #[must_use]
    pub fn from_outcome_line(line: &str) -> Option<Self> {
        Self::from_report(line.trim().strip_prefix(OUTCOME_WORD)?.trim_start())
    }

    /// Reads one JSON object with `operation` and `outcome`.
    #[must_use]
    pub fn from_report(text: &str) -> Option<Self> {
        Self::from_json(text, "operation")
    }

    /// What became of a message, which is what its client says of the operation.
    #[must_use]
    pub fn of_message(settled: &Settled) -> Self {
        let (claim, detail) = match settled.done {
            true => (Claim::Succeeded, "deleted its message"),
            false => (Claim::Failed, "left its message to the dead letters"),
        };
        Self {
            operation: Some(settled.operation.to_string()),
            submit: settled.submit,
            claim,
            degraded: false,
            detail: detail.to_owned(),
            provider: None,
        }
    }

    fn from_json(text: &str, name: &str) -> Option<Self> {
        let Value::Object(object) = serde_json::from_str(text).ok()? else { return None };
        let claim = match object.get("outcome")?.as_str()? {
            "succeeded" => Claim::Succeeded,
            "failed" => Claim::Failed,
            "unknown" => Claim::Unknown,
            _ => return None,
        };
        let operation = match object.get(name) {
            None => None,
            Some(Value::String(name)) => Some(name.clone()),
            Some(_) => return None,
        };
        let submit = match object.get("submit") {
            None | Some(Value::Null) => 1,
            Some(submit) => u32::try_from(submit.as_u64()?).ok()?,
        };
        let words = |name: &str| match object.get(name) {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(text.clone()),
            // Words that are no text are kept as they stand: a claim is too precious to lose to them.
            Some(other) => Some(other.to_string()),
        };
        Some(Self {
            operation,
            submit,
            claim,
            degraded: object.get("degraded") == Some(&Value::Bool(true)),
            detail: words("detail").unwrap_or_default(),
            provider: words("provider").map(Arc::from),
        })
    }
}

/// What a process's end says in exec mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitWord {
    /// A claim.
    Claim(Claim),
    /// It died of this signal (or said so by 128+n) and makes no claim.
    Signal(i32),
}

/// Reads how a process ended: 0 succeeded, 75 unknown, 129 to 192 a signal, any other failed.
#[must_use]
pub fn exit_word(code: Option<i32>, signal: Option<i32>) -> ExitWord {
    match (code, signal) {
        (_, Some(signal)) => ExitWord::Signal(signal),
        (Some(0), None) => ExitWord::Claim(Claim::Succeeded),
        (Some(EXIT_UNKNOWN), None) => ExitWord::Claim(Claim::Unknown),
        (Some(code @ 129..=192), None) => ExitWord::Signal(code - 128),
        (Some(_), None) => ExitWord::Claim(Claim::Failed),
        // No code and no signal: the kernel does not say, so it is no claim either.
        (None, None) => ExitWord::Signal(0),
    }
}

/// What became of the submits of a run so far.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    submits: BTreeMap<(Arc<str>, u32), State>,
}

/// What is known of a submit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// The client's own claim.
    Claimed(Claim),
    /// On record as silent.
    Silent,
}

/// What a claim changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It is the first claim of an open submit.
    First,
    /// It replaces an `unknown` claim of the client.
    Replaces,
    /// It changes nothing: nobody asked, it is too late, or the claim is final.
    Nothing,
}

impl Ledger {
    /// A submit was made.
    pub fn open(&mut self, operation: &Arc<str>, submit: u32) {
        self.submits.insert((Arc::clone(operation), submit), State::Open);
    }

    /// The client makes a claim.
    pub fn claim(&mut self, operation: &Arc<str>, submit: u32, claim: Claim) -> Effect {
        let Some(state) = self.submits.get_mut(&(Arc::clone(operation), submit)) else {
            return Effect::Nothing;
        };
        let effect = match *state {
            State::Open => Effect::First,
            State::Claimed(Claim::Unknown) if claim != Claim::Unknown => Effect::Replaces,
            State::Claimed(_) | State::Silent => Effect::Nothing,
        };
        if effect != Effect::Nothing {
            *state = State::Claimed(claim);
        }
        effect
    }

    /// The driver gives up on a submit; true if it was still open.
    pub fn give_up(&mut self, operation: &Arc<str>, submit: u32) -> bool {
        match self.submits.get_mut(&(Arc::clone(operation), submit)) {
            Some(state @ State::Open) => {
                *state = State::Silent;
                true
            }
            _ => false,
        }
    }

    /// True when the submit was made.
    #[must_use]
    pub fn knows(&self, operation: &Arc<str>, submit: u32) -> bool {
        self.submits.contains_key(&(Arc::clone(operation), submit))
    }

    /// True while the client has not cleared up what it called unknown.
    #[must_use]
    pub fn has_unknown(&self) -> bool {
        self.submits.values().any(|state| *state == State::Claimed(Claim::Unknown))
    }

    /// Every submit that has neither a claim nor been given up, in order.
    #[must_use]
    pub fn still_open(&self) -> Vec<(Arc<str>, u32)> {
        let open = self.submits.iter().filter(|(_, state)| **state == State::Open);
        open.map(|(key, _)| key.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_line_is_read_with_its_defaults() {
        let statement = Statement::from_stdio(
            r#" {"id":"op-0003","outcome":"failed","detail":"card declined","provider":"backup"} "#,
        );
        let statement = statement.expect("it is a claim");
        assert_eq!(statement.operation.as_deref(), Some("op-0003"));
        assert_eq!((statement.submit, statement.claim), (1, Claim::Failed));
        assert_eq!(statement.detail, "card declined");
        assert_eq!(statement.provider.as_deref(), Some("backup"));
        let odd = Statement::from_stdio(
            r#"{"id":"a","submit":2,"outcome":"unknown","detail":{"status":500},"more":1}"#,
        );
        let odd = odd.expect("words of another type do not lose the claim");
        assert_eq!((odd.submit, odd.detail.as_str()), (2, r#"{"status":500}"#));
    }

    #[test]
    fn a_line_that_makes_no_claim_is_output() {
        for line in [
            "",
            "charged order-3",
            "{",
            "[]",
            r#"{"id":"op-0001"}"#,
            r#"{"outcome":"failed"}"#,
            r#"{"id":3,"outcome":"failed"}"#,
            r#"{"id":"op-0001","outcome":"done"}"#,
            r#"{"id":"op-0001","outcome":"failed","submit":-1}"#,
            r#"BROWNOUT_OUTCOME {"outcome":"failed"}"#,
        ] {
            assert_eq!(Statement::from_stdio(line), None, "{line}");
        }
        for line in ["BROWNOUT_OUTCOME", "BROWNOUT_OUTCOME yes", r#"{"outcome":"failed"}"#] {
            assert_eq!(Statement::from_outcome_line(line), None, "{line}");
        }
    }

    #[test]
    fn an_outcome_line_may_name_an_operation() {
        let line = r#"BROWNOUT_OUTCOME {"operation":"order-3","outcome":"succeeded"}"#;
        let statement = Statement::from_outcome_line(line).expect("it is a claim");
        assert_eq!(statement.operation.as_deref(), Some("order-3"));
        assert_eq!(statement.claim, Claim::Succeeded);
    }

    #[test]
    fn exit_codes_speak() {
        let table = [
            (Some(0), None, ExitWord::Claim(Claim::Succeeded)),
            (Some(75), None, ExitWord::Claim(Claim::Unknown)),
            (Some(1), None, ExitWord::Claim(Claim::Failed)),
            (Some(128), None, ExitWord::Claim(Claim::Failed)),
            (Some(137), None, ExitWord::Signal(9)),
            (Some(192), None, ExitWord::Signal(64)),
            (Some(193), None, ExitWord::Claim(Claim::Failed)),
            (Some(255), None, ExitWord::Claim(Claim::Failed)),
            (None, Some(15), ExitWord::Signal(15)),
        ];
        for (code, signal, word) in table {
            assert_eq!(exit_word(code, signal), word, "{code:?} {signal:?}");
        }
    }

    #[test]
    fn success_and_failure_are_final_and_only_an_unknown_is_replaced() {
        let op: Arc<str> = Arc::from("op-0001");
        let mut ledger = Ledger::default();
        assert_eq!(ledger.claim(&op, 1, Claim::Failed), Effect::Nothing, "nobody asked");
        ledger.open(&op, 1);
        assert_eq!(ledger.claim(&op, 1, Claim::Unknown), Effect::First);
        assert_eq!(ledger.claim(&op, 1, Claim::Unknown), Effect::Nothing);
        assert_eq!(ledger.claim(&op, 1, Claim::Succeeded), Effect::Replaces);
        assert_eq!(ledger.claim(&op, 1, Claim::Failed), Effect::Nothing);
        ledger.open(&op, 2);
        assert!(ledger.give_up(&op, 2));
        assert!(!ledger.give_up(&op, 2));
        assert_eq!(ledger.claim(&op, 2, Claim::Succeeded), Effect::Nothing, "too late");
        assert!(ledger.still_open().is_empty());
    }
}
