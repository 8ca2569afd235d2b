//! Other readings of a trace: what it looks like if the guesses about its operations were wrong.
//!
//! Requests that nothing names are assigned to operations by guess: that one belongs to an operation
//! (its body was seen before), or that one begins an operation of its own. A violation that disappears
//! when the guess is turned round proves nothing about the client, so the judge asks both other readings.
//! **Invariant:** a reading changes only to which operation a guessed request belongs; the events, and
//! with them the evidence of a violation, stay what they are.

use std::collections::BTreeMap;

use brownout_provider::event::Recognized;

use super::build::{index, number};
use super::submits::Submits;
use super::{Name, Operation, OperationId, Place, Trace, place};

/// Which operation each request and each operation's own events belong to in another reading.
struct Assignment {
    operations: Vec<Name>,
    of_request: Vec<Option<OperationId>>,
    of_operation: Vec<OperationId>,
}

impl Trace {
    /// True when some request was assigned to its operation by a guess.
    #[must_use]
    pub fn rests_on_guesses(&self) -> bool {
        self.requests().any(|(_, request)| is_guess(request.recognized))
    }

    /// The reading in which every request that joined an operation by guess begins one of its own;
    /// `None` when there is none.
    #[must_use]
    pub fn split(&self) -> Option<Self> {
        let mut assignment = self.as_it_is();
        let mut names = self.names.clone();
        for (id, operation) in self.operations() {
            let mut current = id;
            for (position, (request, one)) in self.requests_of(id).enumerate() {
                if position > 0 && one.recognized == Recognized::Guess && one.by.is_client() {
                    current = OperationId(Place::new(number(assignment.operations.len())));
                    let name = format!("{} (guess {})", self.text(operation.name), position + 1);
                    assignment.operations.push(names.intern(&name));
                }
                assignment.of_request[place(request.0)] = Some(current);
            }
        }
        if assignment.operations.len() == self.operations.len() {
            return None;
        }
        let mut reading = self.reassigned(assignment);
        reading.names = names;
        Some(reading)
    }

    /// The reading in which all operations that nothing told apart are one, for each route: those that
    /// begin with a guess, and those that were asked for and never seen on the wire. `None` when there
    /// are no two of a route.
    #[must_use]
    pub fn merged(&self) -> Option<Self> {
        let mut assignment = self.as_it_is();
        let mut first_of_route = BTreeMap::<Name, OperationId>::new();
        let mut is_other = false;
        for (id, _) in self.operations() {
            let Some(route) = self.route_of_guess(id) else { continue };
            let first = *first_of_route.entry(route).or_insert(id);
            is_other |= first != id;
            assignment.of_operation[place(id.0)] = first;
        }
        let guessed = self.requests().any(|(_, request)| is_guess(request.recognized));
        if !is_other || !guessed {
            return None;
        }
        for request in &mut assignment.of_request {
            *request = request.map(|id| assignment.of_operation[place(id.0)]);
        }
        Some(self.reassigned(assignment))
    }

    /// The route of an operation that begins with a guess, or was asked for and never seen.
    fn route_of_guess(&self, id: OperationId) -> Option<Name> {
        match self.attempts_of(id).next() {
            Some((_, first)) => first.route.filter(|_| is_guess(first.recognized)),
            None => self
                .submits_of(id)
                .find_map(|(_, submit)| submit.submitted.as_ref().map(|submitted| submitted.call)),
        }
    }

    fn as_it_is(&self) -> Assignment {
        Assignment {
            operations: self.operations.iter().map(|operation| operation.name).collect(),
            of_request: self.requests.iter().map(|request| request.operation).collect(),
            of_operation: self.operations().map(|(id, _)| id).collect(),
        }
    }

    fn reassigned(&self, assignment: Assignment) -> Self {
        let mut reading = self.clone();
        let moved = |id: OperationId| assignment.of_operation[place(id.0)];
        let mut submits = Submits::default();
        for (_, submit) in self.submits() {
            let operation = moved(submit.operation);
            let so_far = submits.get(operation, submit.number);
            so_far.submitted = so_far.submitted.take().or_else(|| submit.submitted.clone());
            for claim in self.claims(submit) {
                submits.claim(operation, submit.number, *claim);
            }
        }
        submits.order_claims();
        for (request, operation) in reading.requests.iter_mut().zip(&assignment.of_request) {
            request.operation = *operation;
            if let Some(operation) = *operation {
                submits.get(operation, request.submit);
            }
        }
        for effect in &mut reading.effects {
            let by_request = effect.request.and_then(|id| assignment.of_request[place(id.0)]);
            effect.operation = by_request.unwrap_or_else(|| moved(effect.operation));
            submits.get(effect.operation, effect.submit);
            if let Some(reversal) = &mut effect.reversed {
                reversal.operation = moved(reversal.operation);
            }
        }
        for (operation, _) in &mut reading.heard {
            *operation = moved(*operation);
        }
        reading.heard.sort_unstable();
        for webhook in &mut reading.webhooks {
            webhook.operation = moved(webhook.operation);
        }
        reading.webhooks.sort_by_key(|webhook| (webhook.operation, webhook.seq));
        for delivered in &mut reading.delivered {
            delivered.operation = moved(delivered.operation);
        }
        for message in &mut reading.messages {
            message.operation = moved(message.operation);
        }
        reading.messages.sort_by_key(|message| (message.operation, message.seq));
        for part in &mut reading.parts_undone {
            part.reversal.operation = moved(part.reversal.operation);
        }
        reading.operations = assignment.operations.into_iter().map(Operation::named).collect();
        (reading.submits, reading.claims) = submits.flatten(&mut reading.operations);
        index(&mut reading);
        reading
    }
}

fn is_guess(recognized: Recognized) -> bool {
    matches!(recognized, Recognized::Guess | Recognized::New)
}
