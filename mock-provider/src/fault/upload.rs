//! `upload`: a piece of a file is lost, kept twice, kept in half, or spoilt, or its upload has expired.
//!
//! **Invariant:** it strikes requests that carry a piece, and nothing but what is kept and said of the file.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::parts::taken_elsewhere;
use super::upload_fault::UploadFault;
use super::{Action, Fault, FaultKind, Group};
use crate::api::{Api, Route};
use crate::document::{At, ScalarOr, decode};
use crate::seed::Draw;

/// The registry's entry.
pub(super) static UPLOAD: FaultKind = FaultKind {
    name: "upload",
    group: Group::Provider,
    summary: "A piece of a file is lost, kept twice, kept in half, or spoilt, or its upload has expired.",
    parameters: &[(
        "kind",
        "required; `lost_chunk` (nothing is kept, and the answer says so), `stored_twice`, `lying_offset` (half is \
         kept, and the answer says all), `expired_session` (from this piece on), or `wrong_checksum` (something else \
         is kept than came); alone it may stand as `upload: KIND`",
    )],
    mistake: "Going on from where the client is and not from where the answer says; beginning from zero after every \
              failure; never comparing the checksum of what was kept with that of the source.",
    example: "upload: {kind: lying_offset}",
    bare: false,
    schema: |generator| generator.subschema_for::<ScalarOr<Kind, Parameters>>(),
    parse,
};

/// In which way a piece is not treated as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "UploadKind")]
enum Kind {
    /// Nothing is kept, and the answer says so.
    LostChunk,
    /// It is kept two times.
    StoredTwice,
    /// Half is kept, and the answer says all.
    LyingOffset,
    /// The upload has expired.
    ExpiredSession,
    /// Something else is kept than came.
    WrongChecksum,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "UploadFault")]
struct Parameters {
    /// In which way it is not treated as it should be.
    #[schemars(required)]
    kind: Option<Kind>,
}

#[derive(Clone, Copy, Debug)]
struct Upload {
    kind: Kind,
}

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Fault>> {
    let kind = match decode(value, at)? {
        ScalarOr::Scalar(kind) => kind,
        ScalarOr::Map(Parameters { kind }) => kind?,
    };
    Some(Arc::new(Upload { kind }))
}

impl Fault for Upload {
    fn kind(&self) -> &'static FaultKind {
        &UPLOAD
    }

    fn strike(&self, _: &mut Draw) -> Action {
        Action::Upload(match self.kind {
            Kind::LostChunk => UploadFault::Lost,
            Kind::StoredTwice => UploadFault::Twice,
            Kind::LyingOffset => UploadFault::Lies,
            Kind::ExpiredSession => UploadFault::Expires,
            Kind::WrongChecksum => UploadFault::Spoils,
        })
    }

    fn detail(&self) -> String {
        match self.kind {
            Kind::LostChunk => "lost_chunk",
            Kind::StoredTwice => "stored_twice",
            Kind::LyingOffset => "lying_offset",
            Kind::ExpiredSession => "expired_session",
            Kind::WrongChecksum => "wrong_checksum",
        }
        .to_owned()
    }

    fn takes(&self, route: &Route) -> bool {
        route.upload.is_some()
    }

    fn check(&self, api: &Api, route: Option<&str>, at: &At<'_>) {
        let Some(known) = taken_elsewhere(self, api, route) else { return };
        let message = match route {
            Some(route) => {
                format!("`upload` can never strike: `{route}` takes no pieces of a file")
            }
            None => format!("`upload` can never strike: no route of `{}` takes pieces", api.name),
        };
        at.error(message, |d| {
            d.allowed(route.unwrap_or_default(), known).cure(
                "strike a route that has `upload:` in its API file, as `upload_chunk` of `vision`",
            )
        });
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{checked, parsed, problems, struck};
    use super::*;

    #[test]
    fn a_kind_may_stand_alone_or_in_a_map() {
        for (value, expected, detail) in [
            (json!("lost_chunk"), UploadFault::Lost, "lost_chunk"),
            (json!({"kind": "stored_twice"}), UploadFault::Twice, "stored_twice"),
            (json!("lying_offset"), UploadFault::Lies, "lying_offset"),
            (json!("expired_session"), UploadFault::Expires, "expired_session"),
            (json!("wrong_checksum"), UploadFault::Spoils, "wrong_checksum"),
        ] {
            let action = struck(&UPLOAD, &value);
            assert!(matches!(action, Action::Upload(does) if does == expected), "{action:?}");
            assert_eq!(parsed(&UPLOAD, &value).detail(), detail);
        }
        assert_eq!(problems(&UPLOAD, &json!("lost")), [""]);
        assert_eq!(problems(&UPLOAD, &Value::Null), [""]);
    }

    #[test]
    fn only_a_route_that_takes_pieces_is_struck() {
        assert_eq!(checked(&UPLOAD, &json!("lost_chunk"), Some("create_charge")).len(), 1);
        assert_eq!(checked(&UPLOAD, &json!("lost_chunk"), None).len(), 1);
    }
}
