//! Pieces of files: kept one after the other until a file is whole, which is its effect.
//!
//! **Invariant:** a file is committed once, by the piece that made it whole; what is whole is only told of again.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use serde_json::Value;

use super::Provider;
use super::later::Done;
use super::open::{Open, Own, Place};
use super::work::Used;
use crate::api::{Api, Context, ErrorContext, Standard, UploadSpec, Which};
use crate::event::{EventKind, UploadPiece};
use crate::request::Request;
use crate::resumable::{ContentRange, Took};
use crate::template::TemplateError;

/// What is wrong with a place that cannot be read.
const NO_PLACE: &str = "Content-Range names no place";

/// A piece of a file, as it came.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    body: Bytes,
    /// Its place; an error where it says one that is none.
    range: Result<Option<ContentRange>, ()>,
}

impl Piece {
    /// The piece that a request carries.
    pub(super) fn of(request: &Request) -> Self {
        let range = match request.headers.get(header::CONTENT_RANGE) {
            None => Ok(None),
            Some(value) => value.to_str().ok().and_then(ContentRange::parse).map(Some).ok_or(()),
        };
        Self { body: request.body.clone(), range }
    }
}

/// The collections that hold uploads, and how long these take pieces, in microseconds.
pub(super) fn collections(api: &Api) -> Vec<(Arc<str>, u64)> {
    let uploads = api.routes.iter().filter_map(|route| route.upload.as_ref());
    uploads.map(|upload| (Arc::clone(&upload.collection), upload.lasts_us)).collect()
}

impl Provider {
    /// An object was made: it may stand for an upload.
    pub(super) fn begin_upload(&mut self, id: &Arc<str>, collection: &str, now_us: u64) {
        let lasts = self.upload_lasts_us.iter().find(|(known, _)| **known == *collection);
        if let Some((_, lasts_us)) = lasts {
            self.pieces.begin(Arc::clone(id), *lasts_us, now_us);
        }
    }

    /// Takes a piece of a file, or a question how much of it is there, and answers.
    pub(super) fn take_piece(&mut self, open: &mut Open, place: &Place) -> Own {
        let Some((spec, piece)) = place.route.upload.clone().zip(open.piece.take()) else {
            return self.refuse(open, Which::Standard(Standard::InvalidRequest), None);
        };
        let context = Context::new(&open.call, self.epoch_s(open.now_us));
        let Ok(id) = spec.id.text(&context.names()) else {
            return self.refuse(open, Which::Standard(Standard::NotFound), None);
        };
        let Ok(range) = piece.range else {
            return self.wrong_piece(open, NO_PLACE);
        };
        let struck = open.struck.uploads.first().cloned();
        let is_question = range.is_some_and(|range| range.from.is_none());
        let struck = struck.filter(|_| !is_question);
        if let Some((mark, _)) = &struck {
            self.emit_strike(open, mark);
        }
        let fault = struck.map(|(_, fault)| fault);
        let took = self.pieces.put((&id, range), &piece.body, fault, open.now_us);
        let Some(took) = took else {
            return self.refuse(open, Which::Standard(Standard::NotFound), None);
        };
        // Without a place the body is the whole file.
        let from = range.map_or(Some(0), |range| range.from);
        self.tell_piece((open, place), (&id, from), &took);
        match took {
            Took::Part { stored } => self.part(open, stored),
            Took::Expired => self.refuse(open, Which::Named(&spec.expired), None),
            Took::Wrong(why) => self.wrong_piece(open, why),
            Took::Whole { size, sha256, now } => {
                let whole = (size, &*sha256, now);
                self.whole(open, place, (&spec, id), whole)
                    .unwrap_or_else(|error| self.refuse_template(open, &error))
            }
        }
    }

    /// The answer that a piece or a question would have, with nothing kept.
    pub(super) fn preview_piece(&self, open: &Open, place: &Place) -> Own {
        let Some((spec, piece)) = place.route.upload.as_ref().zip(open.piece.as_ref()) else {
            return self.refuse(open, Which::Standard(Standard::InvalidRequest), None);
        };
        let Ok(range) = piece.range else {
            return self.wrong_piece(open, NO_PLACE);
        };
        let context = Context::new(&open.call, self.epoch_s(open.now_us));
        let id = spec.id.text(&context.names()).unwrap_or_default();
        match self.pieces.peek((&id, range), &piece.body, open.now_us) {
            None => self.refuse(open, Which::Standard(Standard::NotFound), None),
            Some(Took::Part { stored }) => self.part(open, stored),
            Some(Took::Expired) => self.refuse(open, Which::Named(&spec.expired), None),
            Some(Took::Wrong(why)) => self.wrong_piece(open, why),
            Some(Took::Whole { size, sha256, .. }) => {
                let written = self.stored(spec, &id, (size, &sha256)).and_then(|object| {
                    let mut context = Context::new(&open.call, self.epoch_s(open.now_us));
                    (context.object, context.target) = (&object, &object);
                    place.route.written(&context)
                });
                match written {
                    Ok(written) => self.own(open, written, Vec::new()),
                    Err(error) => self.refuse_template(open, &error),
                }
            }
        }
    }

    /// The object of an upload that is whole.
    fn stored(
        &self,
        spec: &UploadSpec,
        id: &str,
        (size, sha256): (u64, &str),
    ) -> Result<Value, TemplateError> {
        let object = self.ledger.get(&spec.collection, id);
        let mut object = object.map_or(Value::Null, |object| object.value().clone());
        let (size, sha256) = (Value::from(size), Value::from(sha256));
        if let (Value::Object(fields), Value::Object(new)) =
            (&mut object, spec.done.render(&[("size", &size), ("sha256", &sha256)])?)
        {
            fields.extend(new);
        }
        Ok(object)
    }

    fn tell_piece(
        &mut self,
        (open, place): (&Open, &Place),
        (id, from): (&str, Option<u64>),
        took: &Took,
    ) {
        let event = UploadPiece {
            provider: Arc::clone(&self.name),
            request: open.id,
            operation: Arc::clone(&place.operation),
            upload: id.into(),
            from,
            stored: match took {
                Took::Part { stored } => Some(*stored),
                Took::Whole { size, .. } => Some(*size),
                Took::Expired | Took::Wrong(_) => None,
            },
            size: self.pieces.size(id),
            whole: matches!(took, Took::Whole { .. }),
        };
        self.emit(open.now_us, EventKind::UploadPiece(event));
    }

    /// The answer that so much is there, and more is to come.
    fn part(&self, open: &Open, stored: u64) -> Own {
        const RESUME_INCOMPLETE: u16 = 308;
        let mut headers = HeaderMap::new();
        if let Some(last) = stored.checked_sub(1)
            && let Ok(value) = HeaderValue::try_from(format!("bytes=0-{last}"))
        {
            headers.insert(header::RANGE, value);
        }
        self.add_headers(open, &mut headers);
        Own { usable: true, ..Own::new(RESUME_INCOMPLETE, headers, Bytes::new()) }
    }

    fn wrong_piece(&self, open: &Open, why: &str) -> Own {
        let context = ErrorContext { message: Some(why), ..ErrorContext::default() };
        self.refuse_with(open, Which::Standard(Standard::InvalidRequest), &context, None)
    }

    /// The file is whole: commits it, if it is so just now, and shows its object.
    fn whole(
        &mut self,
        open: &mut Open,
        place: &Place,
        (spec, id): (&UploadSpec, String),
        (size, sha256, now): (u64, &str, bool),
    ) -> Result<Own, TemplateError> {
        let known = self.ledger.get(&spec.collection, &id).and_then(|object| object.effect);
        let object = self.stored(spec, &id, (size, sha256))?;
        let call = Arc::clone(&open.call);
        let mut context = Context::new(&call, self.epoch_s(open.now_us));
        (context.object, context.target) = (&object, &object);
        let drafts = if now { place.route.effects(&context)? } else { Vec::new() };
        let written = place.route.written(&context)?;
        let effects: Vec<_> =
            drafts.into_iter().map(|effect| (self.ledger.commit(effect.amount), effect)).collect();
        let told = known.into_iter().chain(effects.iter().map(|(id, _)| *id)).collect();
        if now {
            let changed = Some(object.clone());
            let used = Some(Used { id, effect: known, changed, undone: None, receipt: None });
            let webhooks = std::mem::take(&mut open.struck.webhooks);
            let (request, by, place) = (open.id, open.by, place.clone());
            let done = Done { request, by, place, effects, made: Vec::new(), used, webhooks };
            self.show(open, done);
        }
        Ok(self.own(open, written, told))
    }
}
