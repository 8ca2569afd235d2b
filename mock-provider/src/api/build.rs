//! Requests that a built-in client makes of an operation's input.
//!
//! Knows nothing about connections or keys. **Invariant:** what is built here is read back by
//! [`super::Api::read`] as the same call.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method};
use serde_json::Value;

use super::Api;
use super::answer::{Context, write_headers};
use super::call::{Encoding, encode};
use super::route::{Discriminator, Route, Segment};
use crate::template::TemplateError;

/// A request without address and key.
#[derive(Clone, Debug, PartialEq)]
pub struct Built {
    /// The method.
    pub method: Method,
    /// Path and query.
    pub target: String,
    /// The content type and the route's own headers.
    pub headers: HeaderMap,
    /// The body; empty for none.
    pub body: Bytes,
}

impl Route {
    /// The request for an input, with the headers by which the route is told from others. Where the API file does not say how the body looks, the body is the
    /// input itself.
    ///
    /// # Errors
    ///
    /// When the input lacks something that the request needs.
    pub fn build(
        &self,
        encoding: Encoding,
        input: &Value,
        n: u64,
        submit: u32,
    ) -> Result<Built, TemplateError> {
        let encoding = self.encoding.unwrap_or(encoding);
        let (n, submit) = (Value::from(n), Value::from(submit));
        let names = [("input", input), ("n", &n), ("submit", &submit)];
        let mut target = String::new();
        for segment in &self.pattern.segments {
            target.push('/');
            match segment {
                Segment::Literal(text) => target.push_str(text),
                Segment::Parameter(name) => {
                    let found = self.request.path.iter().find(|(known, _)| known == name);
                    if let Some((_, template)) = found {
                        target.push_str(&encode(&template.text(&names)?));
                    }
                }
            }
        }
        for (index, (name, template)) in self.request.query.iter().enumerate() {
            target.push(if index == 0 { '?' } else { '&' });
            target.push_str(&encode(name));
            target.push('=');
            target.push_str(&encode(&template.text(&names)?));
        }
        let mut headers = HeaderMap::new();
        let body = match &self.request.body {
            Some(body) => Some(body.render(&names)?),
            None if self.method == Method::GET || self.upload.is_some() => None,
            // What is used is named in the path, unless it need not be there.
            None if self.uses.as_ref().is_some_and(|uses| !uses.optional) => None,
            None => Some(input.clone()),
        };
        let body = match body {
            None => Bytes::new(),
            Some(body) => {
                let media_type = HeaderValue::from_static(encoding.content_type());
                headers.insert(http::header::CONTENT_TYPE, media_type);
                encoding.write(&body)
            }
        };
        for discriminator in &self.discriminators {
            if let Discriminator::Header(name, value) = discriminator
                && let Ok(value) = HeaderValue::from_str(value)
            {
                headers.insert(name.clone(), value);
            }
        }
        write_headers(&self.request.headers, &names, &mut headers)?;
        Ok(Built { method: self.method.clone(), target, headers, body })
    }
}

impl Api {
    /// The object that a route would make of an operation (its input, its number and which submit), under this
    /// id and at this second since 1970.
    ///
    /// # Errors
    ///
    /// Why it makes none: the input lacks something, or the route makes nothing.
    pub fn object_of(
        &self,
        route: &Route,
        (input, n, submit): (&Value, u64, u32),
        id: &str,
        now_s: u64,
    ) -> Result<Value, String> {
        let failed = |error: TemplateError| error.to_string();
        let built = route.build(self.encoding, input, n, submit).map_err(failed)?;
        let call = self.read(&built.method, &built.target, &built.headers, &built.body).call;
        route.validate(&call).map_err(|wrong| wrong.message)?;
        let context = Context { id: Value::from(id), ..Context::new(&call, now_s) };
        let object = route.new_object(&context).map_err(failed)?;
        object.ok_or_else(|| "the route makes no object".to_owned())
    }
}
