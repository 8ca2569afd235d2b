//! What is planted in inputs to be found again: a card number and a piece of prompt that exist nowhere else.
//!
//! A workload asks for them by `{{ planted.card }}` and `{{ planted.prompt }}`. A client has to send them,
//! and has no reason to write them anywhere: `no_secrets_in_output` looks for them in all that it says.
//! **Invariant:** a pure function of the seed: the same markers for every operation, process and run of it.

use std::sync::Arc;

use brownout_provider::coordinates::Coordinates;
use brownout_provider::document::Diagnostics;
use brownout_provider::seed::{RuleKey, Seed};
use brownout_provider::template::Tree;
use serde_json::{Value, json};

/// The markers of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planted {
    /// Sixteen digits with the check digit of a card number.
    card: String,
    /// A word that no program makes up.
    prompt: String,
}

/// The name under which an input's templates know the markers.
pub const PLANTED: &str = "planted";

/// The names that an input's templates know: the operation's number, the submit, the markers.
pub const INPUT_NAMES: [&str; 3] = ["n", "submit", PLANTED];

/// The input of a workload, of a value whose texts are templates; `None` where one of them is wrong or asks
/// for what it cannot know.
#[must_use]
pub fn input_of(value: &Value) -> Option<Arc<Tree>> {
    let problems = Diagnostics::new();
    Tree::resolve(value, &INPUT_NAMES, &problems.root()).map(Arc::new)
}

impl Planted {
    /// The markers of a seed.
    #[must_use]
    pub fn of(seed: Seed) -> Self {
        let mut draw = RuleKey::new(seed, "#planted").draw(&Coordinates::NOWHERE);
        let digits: Vec<u64> = std::iter::once(4).chain((0..14).map(|_| draw.below(10))).collect();
        let card = digits.iter().chain([&check_digit(&digits)]).map(u64::to_string).collect();
        let mut prompt = "canary".to_owned();
        draw.push_alphanumeric(18, &mut prompt);
        Self { card, prompt }
    }

    /// What `planted` stands for in templates.
    #[must_use]
    pub fn value(&self) -> Value {
        json!({"card": self.card, "prompt": self.prompt})
    }

    /// The markers of a seed, where this input makes a client send any.
    #[must_use]
    pub fn within(input: &Tree, seed: Seed) -> Option<Self> {
        input.asks_for(PLANTED).then(|| Self::of(seed))
    }

    /// What to look for: kind and text.
    #[must_use]
    pub fn marks(&self) -> [(&'static str, &str); 2] {
        [("card", &self.card), ("prompt", &self.prompt)]
    }
}

/// The last digit of a card number: with it, the digits, every second one doubled, sum up to tens.
fn check_digit(digits: &[u64]) -> u64 {
    let doubled = |digit: u64| if digit > 4 { digit * 2 - 9 } else { digit * 2 };
    let each = digits.iter().rev().enumerate();
    let sum: u64 = each.map(|(at, digit)| if at % 2 == 0 { doubled(*digit) } else { *digit }).sum();
    (10 - sum % 10) % 10
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_digit_is_that_of_card_numbers() {
        for card in ["4242424242424242", "4000056655665556", "5555555555554444"] {
            let digits: Vec<u64> = card.bytes().map(|digit| u64::from(digit - b'0')).collect();
            let (last, rest) = digits.split_last().expect("sixteen digits");
            assert_eq!(check_digit(rest), *last, "{card}");
        }
    }

    #[test]
    fn markers_belong_to_a_seed_and_are_looked_for_where_an_input_asks_for_them() {
        let seed = |number| Seed::new(number).expect("in range");
        let planted = Planted::of(seed(1));
        assert_eq!(planted, Planted::of(seed(1)));
        assert_ne!(planted, Planted::of(seed(2)));
        assert_eq!((planted.card.len(), planted.prompt.len()), (16, 24));
        assert!(planted.card.starts_with('4'));

        let within = |input| Planted::within(&input_of(&input).expect("right templates"), seed(1));
        assert_eq!(within(json!({"deep": [{"card": "{{ planted.card }}"}]})), Some(planted));
        assert_eq!(within(json!({"card": "4242", "n": "{{ n }}"})), None);
    }
}
