//! Who may use the control API: programs of this machine that know the token, and no web page.
//!
//! **Invariant:** without the token nothing is told and nothing happens, and a page in a browser is refused
//! even if it knows it.

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
    #[error("requests of web pages are refused; call the control API from a program")]
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
    pub fn check(
        &self,
        host: Option<&str>,
        origin: Option<&str>,
        authorization: Option<&str>,
    ) -> Result<(), Denied> {
        if !host.is_some_and(|host| self.is_own(host)) {
            return Err(Denied::Host);
        }
        if origin
            .is_some_and(|origin| !origin.strip_prefix("http://").is_some_and(|it| self.is_own(it)))
        {
            return Err(Denied::Origin);
        }
        // Digests are compared, so that the time it takes tells nothing of the token.
        let token = authorization.and_then(|value| value.strip_prefix("Bearer "));
        if token.is_some_and(|token| digest(token.trim()) == self.token) {
            Ok(())
        } else {
            Err(Denied::Token)
        }
    }

    fn is_own(&self, host: &str) -> bool {
        ["127.0.0.1", "localhost", "[::1]"]
            .iter()
            .any(|name| host.strip_prefix(name) == Some(&format!(":{}", self.port)))
    }
}

fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_programs_of_this_machine_that_know_the_token_are_let_through() {
        let guard = Guard::new("right", 4000);
        let check = |host, origin, token| guard.check(host, origin, token);
        let (host, token) = (Some("127.0.0.1:4000"), Some("Bearer right"));
        assert_eq!(check(host, None, token), Ok(()));
        assert_eq!(check(Some("localhost:4000"), Some("http://localhost:4000"), token), Ok(()));
        for wrong in [None, Some("Bearer wrong"), Some("right"), Some("Basic right"), Some("")] {
            assert_eq!(check(host, None, wrong), Err(Denied::Token), "{wrong:?}");
        }
        for wrong in [None, Some("127.0.0.1"), Some("127.0.0.1:4001"), Some("evil.example:4000")] {
            assert_eq!(check(wrong, None, token), Err(Denied::Host), "{wrong:?}");
        }
        for wrong in ["http://evil.example", "null", "https://127.0.0.1:4000", "http://127.0.0.1"] {
            assert_eq!(check(host, Some(wrong), token), Err(Denied::Origin), "{wrong}");
        }
    }
}
