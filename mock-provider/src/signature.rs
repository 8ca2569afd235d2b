//! Signatures of webhooks, in the dialects of Stripe and of Standard Webhooks.
//!
//! **Invariant:** a pure function of secret, id, time and the raw bytes; what is signed is what is sent.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::base64;
use crate::hex::as_hex;

/// How webhooks are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "WebhookSignature")]
pub enum Dialect {
    /// `Stripe-Signature: t=…,v1=…`: HMAC-SHA256 in hexadecimal over `{t}.{body}`, with the secret as it is.
    Stripe,
    /// `webhook-id`, `webhook-timestamp` and `webhook-signature: v1,…`: HMAC-SHA256 in base64 over
    /// `{id}.{timestamp}.{body}`, with what the secret is the base64 of.
    StandardWebhooks,
}

/// Why a text is no secret of a dialect.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a secret of Standard Webhooks is `whsec_` and the base64 of 24 to 64 bytes")]
pub struct NoSecret;

impl Dialect {
    /// The key that a secret stands for.
    ///
    /// # Errors
    ///
    /// When it is not written as the dialect wants it.
    pub fn key(self, secret: &str) -> Result<Vec<u8>, NoSecret> {
        match self {
            Self::Stripe => Ok(secret.as_bytes().to_vec()),
            Self::StandardWebhooks => {
                let encoded = secret.strip_prefix("whsec_").unwrap_or(secret);
                base64::decode(encoded).filter(|key| (24..=64).contains(&key.len())).ok_or(NoSecret)
            }
        }
    }

    /// The headers of a webhook that is sent at this second since 1970; without a key none signs it.
    #[must_use]
    pub fn headers(
        self,
        key: Option<&[u8]>,
        id: &str,
        at_s: u64,
        body: &[u8],
    ) -> Vec<(&'static str, String)> {
        let time = at_s.to_string();
        match self {
            Self::Stripe => {
                let Some(key) = key else { return Vec::new() };
                let mac = hmac(key, &[time.as_bytes(), b".", body]);
                let text = as_hex(&mac, |hex| format!("t={time},v1={hex}"));
                vec![("stripe-signature", text)]
            }
            Self::StandardWebhooks => {
                let signed = key.map(|key| {
                    let mac = hmac(key, &[id.as_bytes(), b".", time.as_bytes(), b".", body]);
                    format!("v1,{}", base64::encode(&mac))
                });
                let mut headers = vec![("webhook-id", id.to_owned()), ("webhook-timestamp", time)];
                headers.extend(signed.map(|text| ("webhook-signature", text)));
                headers
            }
        }
    }
}

/// HMAC-SHA256 over several pieces, as one.
fn hmac(key: &[u8], pieces: &[&[u8]]) -> [u8; 32] {
    const BLOCK: usize = 64;
    let mut block = [0_u8; BLOCK];
    if key.len() > BLOCK {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let mut inner = Sha256::new_with_prefix(block.map(|byte| byte ^ 0x36));
    for piece in pieces {
        inner.update(piece);
    }
    let mut outer = Sha256::new_with_prefix(block.map(|byte| byte ^ 0x5c));
    outer.update(inner.finalize());
    outer.finalize().into()
}

/// What is wrong with a webhook as it is sent; of several, what stands first here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flaw {
    /// Its signature is made with another secret.
    BadSignature,
    /// It is not signed.
    NoSignature,
    /// It is signed with a time long ago.
    OldTimestamp,
    /// Its body ends too soon.
    Truncated,
    /// Its body comes in small pieces.
    SlowSender,
}

impl Flaw {
    /// True when nobody may believe it: it is forged, or old enough to be a replay.
    #[must_use]
    pub const fn is_forged(self) -> bool {
        matches!(self, Self::BadSignature | Self::NoSignature | Self::OldTimestamp)
    }

    /// What is wrong, in words.
    #[must_use]
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::BadSignature => "signed with another secret",
            Self::NoSignature => "not signed",
            Self::OldTimestamp => "signed long ago",
            Self::Truncated => "cut short",
            Self::SlowSender => "sent in small pieces",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stripe_signs_with_the_secret_as_it_is() {
        let key = Dialect::Stripe.key("whsec_test_secret").expect("any text is a secret");
        let headers = Dialect::Stripe.headers(Some(&key), "", 1_492_774_577, br#"{"id":"evt_1"}"#);
        let expected =
            "t=1492774577,v1=799c4ba7bb339f3c8601adfd112f0e477c930a268be1243d341abb8286501c2f";
        assert_eq!(headers, [("stripe-signature", expected.to_owned())]);
        assert_eq!(Dialect::Stripe.headers(None, "", 1, b"x"), []);
    }

    #[test]
    fn standard_webhooks_sign_the_id_with_the_decoded_secret() {
        for (secret, id, at_s, body, expected) in [
            (
                "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
                "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
                1_649_367_553,
                r#"{"email":"test@example.com","username":"test_user"}"#,
                "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
            ),
            (
                "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
                "msg_p5jXN8AQM9LWM0D4loKWxJek",
                1_614_265_330,
                r#"{"test": 2432232314}"#,
                "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
            ),
        ] {
            let key = Dialect::StandardWebhooks.key(secret).expect("a secret");
            let headers = Dialect::StandardWebhooks.headers(Some(&key), id, at_s, body.as_bytes());
            let wanted = [
                ("webhook-id", id.to_owned()),
                ("webhook-timestamp", at_s.to_string()),
                ("webhook-signature", expected.to_owned()),
            ];
            assert_eq!(headers, wanted);
        }
        for wrong in ["whsec_", "whsec_c2hvcnQ=", "whsec_not base64 at all, and long enough!"] {
            assert_eq!(Dialect::StandardWebhooks.key(wrong), Err(NoSecret), "{wrong}");
        }
    }

    #[test]
    fn long_keys_are_hashed() {
        // RFC 4231, case 6.
        let mac =
            hmac(&[0xaa; 131], &[b"Test Using Larger Than Block-Size ", b"Key - Hash Key First"]);
        assert_eq!(mac[..4], [0x60, 0xe4, 0x31, 0x59]);
    }
}
