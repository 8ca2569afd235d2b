//! Who may use the control API: programs of this machine that know the token, and no web page.
//!
//! **Invariant:** without the token nothing is told and nothing happens, and a page in a browser is refused
//! even if it knows it.

use http::HeaderMap;
use http::header::{AUTHORIZATION, HOST, ORIGIN};
use sha2::{Digest, Sha256};

/// Guards the control API of one process.
#[derive(Clone, Debug)]
pub struct Guard {
    token: [u8; 32],
    port: u16,
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// It was sent to another name than this machine's own: a page that had its name resolved to it.
    #[error(
        "the `Host` of the request is not this machine; use the control URL as the ready line gives it"
    )]
    Host,
    /// It comes from a web page.
    #[error(
        "requests of web pages (with an `Origin`) are refused; call the control API from a program"
    )]
    Origin,
    /// The token is missing or another.
    #[error("send `Authorization: Bearer TOKEN` with the token of the ready line")]
    Token,
}

impl Denied {
    /// The status of the answer.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::Host | Self::Origin => 403,
            Self::Token => 401,
        }
    }
}

impl Guard {
    /// The guard of a control API on this port.
    #[must_use]
    pub fn new(token: &str, port: u16) -> Self {
        Self { token: digest(token), port }
    }

    /// Lets a request through, by its headers `Host`, `Origin` and `Authorization`.
    ///
    /// # Errors
    ///
    /// When it is refused.
    pub fn check(&self, headers: &HeaderMap) -> Result<(), Denied> {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let own = ["127.0.0.1", "localhost"].map(|name| format!("{name}:{}", self.port));
        if !text(HOST).is_some_and(|host| own.iter().any(|own| own.eq_ignore_ascii_case(host))) {
            return Err(Denied::Host);
        }
        // Programs send none, pages always do, and no page is ever served here.
        if headers.contains_key(ORIGIN) {
            return Err(Denied::Origin);
        }
        // Digests are compared, so that the time it takes tells nothing of the token.
        let token = text(AUTHORIZATION).and_then(|value| value.split_once(' '));
        match token {
            Some((scheme, token))
                if scheme.eq_ignore_ascii_case("bearer") && digest(token.trim()) == self.token =>
            {
                Ok(())
            }
            _ => Err(Denied::Token),
        }
    }
}

fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn only_programs_of_this_machine_that_know_the_token_are_let_through() {
        let guard = Guard::new("right", 4000);
        let check = |host: &'static str, token: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_static(host));
            headers.insert(AUTHORIZATION, HeaderValue::from_static(token));
            guard.check(&headers)
        };
        assert_eq!(check("127.0.0.1:4000", "Bearer right"), Ok(()));
        assert_eq!(check("LOCALHOST:4000", "bearer right"), Ok(()));
        for wrong in ["Bearer wrong", "right", "Basic right", ""] {
            assert_eq!(check("127.0.0.1:4000", wrong), Err(Denied::Token), "{wrong:?}");
        }
        for wrong in ["127.0.0.1", "127.0.0.1:4001", "evil.example:4000", ""] {
            assert_eq!(check(wrong, "Bearer right"), Err(Denied::Host), "{wrong:?}");
        }
        assert_eq!(guard.check(&HeaderMap::new()), Err(Denied::Host));
        let mut page = HeaderMap::new();
        page.insert(HOST, HeaderValue::from_static("127.0.0.1:4000"));
        page.insert(AUTHORIZATION, HeaderValue::from_static("Bearer right"));
        page.insert(ORIGIN, HeaderValue::from_static("http://127.0.0.1:4000"));
        assert_eq!(guard.check(&page), Err(Denied::Origin));
    }
}
