//! The API file as its author writes it: shapes only, no meaning.
//!
//! Every field is optional here, so that all that is wrong with a file can be said at once; what is
//! required is said by the resolver. The JSON Schema of API files is made of these types.
//! **Invariant:** a field that is added here never changes what an older file means.

mod batch;
mod job;
mod limit;
mod upload;
mod webhooks;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::document::{OneOrMany, ScalarOr};
use crate::hint::{LimitHeaders, ResetForm};
use crate::units::Period;

pub use batch::RawBatch;
pub use job::RawJob;
pub use limit::{RawCost, RawLimitAlgorithm, RawLimitScope, RawQuota, RawRateLimit};
pub use upload::RawUpload;
pub use webhooks::RawWebhooks;

/// An API: what a provider offers, does and answers.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawApi {
    /// The version of this format: 1.
    pub version: Option<u32>,
    /// The name, as scenarios write it.
    pub name: Option<String>,
    /// One sentence.
    pub summary: Option<String>,
    /// The hosts of the real thing; a request to one of them went past the mock.
    pub hosts: Option<Vec<String>>,
    /// How a client shows who it is.
    pub auth: Option<RawAuth>,
    /// How requests are encoded; `json` unless said otherwise.
    pub encoding: Option<RawEncoding>,
    /// Where requests carry the name of their operation: `header:NAME`, `json:/POINTER`,
    /// `form:FIELD[INNER]`, `query:NAME` or `traceparent`; of several the first that is present counts.
    pub operation_id: Option<OneOrMany<String>>,
    /// How a client names its operation in each request, in words for whoever writes the client; told
    /// where operations had to be guessed.
    pub naming: Option<String>,
    /// What the vendor's SDK says of itself.
    pub sdk: Option<RawSdk>,
    /// How idempotency keys are treated; left out for an API without keys.
    pub idempotency: Option<RawIdempotency>,
    /// A limit on requests; left out for none.
    pub rate_limit: Option<RawRateLimit>,
    /// The headers that tell of the limit: a dialect's name, or headers and their templates.
    pub limit_headers: Option<ScalarOr<LimitHeaders, BTreeMap<String, String>>>,
    /// A queue of messages; left out for an API without one.
    pub queue: Option<RawQueue>,
    /// The errors.
    pub errors: Option<RawErrors>,
    /// Which answers are permanent, throttling or transient.
    pub classes: Option<RawClasses>,
    /// How retry hints are spelled beside `Retry-After`.
    pub hint: Option<RawHint>,
    /// Headers of every answer; templates that know `request_id` and `now`.
    pub headers: Option<BTreeMap<String, String>>,
    /// Environment variables that point an unmodified program at the mock; templates that know `url`,
    /// `key`, `token` and `seed`.
    pub client_env: Option<BTreeMap<String, String>>,
    /// What a user of the API chooses, such as the keys of tables: by name, with what holds unless a scenario says
    /// otherwise (`provider: {settings: …}`). Templates of routes know it as `settings`.
    pub settings: Option<Map<String, Value>>,
    /// What to change in the vendor's SDK, by invariant.
    pub cures: Option<BTreeMap<String, String>>,
    /// The events that it tells its users of by webhooks.
    pub webhooks: Option<RawWebhooks>,
    /// The routes; the first that matches a request serves it.
    pub routes: Option<Vec<RawRoute>>,
}

/// How a client shows who it is.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawAuth {
    /// The header with the key; `authorization` unless said otherwise.
    pub header: Option<String>,
    /// The word before the key, such as `Bearer`.
    pub scheme: Option<String>,
    /// What stands in front of the key behind the scheme, where more than the key stands there:
    /// `Credential=`.
    pub after: Option<String>,
    /// What ends the key, where more stands behind it: `/`.
    pub until: Option<String>,
    /// True when an operation's token may stand behind the key handed to a client.
    pub token_in_key: Option<bool>,
    /// False when requests without a key are served too; true unless said otherwise.
    pub required: Option<bool>,
    /// A key of the right shape that opens nothing.
    pub dummy: Option<String>,
}

/// How requests are encoded.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawEncoding {
    /// JSON.
    Json,
    /// `application/x-www-form-urlencoded`, nested by brackets: `metadata[order]=1`.
    Form,
    /// `multipart/form-data`: a file in it is an object with `filename`, `content_type`, `size` and `sha256`.
    Multipart,
}

/// What the vendor's SDK says of itself in its requests.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawSdk {
    /// A header that is the same in all attempts of one call.
    pub call_id: Option<String>,
    /// A header that counts the retries of one call, from 0.
    pub retry_count: Option<String>,
}

/// How idempotency keys are treated. A scenario can set each of these for itself.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawIdempotency {
    /// The header with the key; `idempotency-key` unless said otherwise.
    pub header: Option<String>,
    /// The field of the body with the key, as a JSON pointer, instead of a header.
    pub field: Option<String>,
    /// True when a request without a key is refused.
    pub required: Option<bool>,
    /// What shares one name space of keys: `account` (the default) or `route`.
    pub scope: Option<RawKeyScope>,
    /// How long a key is remembered; `24h` unless said otherwise.
    pub retention: Option<Period>,
    /// The answer to a key that comes back with another body: a status, or status and error.
    pub mismatch: Option<ScalarOr<u16, RawRefusal>>,
    /// The answer while the first request with the key is in progress.
    pub in_flight: Option<ScalarOr<u16, RawRefusal>>,
    /// The answer to a request without a required key.
    pub missing: Option<ScalarOr<u16, RawRefusal>>,
    /// The answer to a key that is longer than `max_length`.
    pub too_long: Option<ScalarOr<u16, RawRefusal>>,
    /// How a replay looks.
    pub replay: Option<RawReplay>,
    /// Which answers are kept: `success` (the default), or `all` once the work began.
    pub stores: Option<RawStores>,
    /// True when a key in quotes equals the bare one (the default).
    pub quoted_equals_bare: Option<bool>,
    /// The longest key in characters; 255 unless said otherwise.
    pub max_length: Option<u32>,
}

/// What shares one name space of keys.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawKeyScope {
    /// All routes of one account.
    Account,
    /// One route of one account.
    Route,
}

/// Which answers are kept under a key.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawStores {
    /// Successes only.
    Success,
    /// Every answer given once the work began.
    All,
}

/// An answer that refuses.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawRefusal {
    /// A status instead of the error's own.
    pub status: Option<u16>,
    /// The name of an error of this API.
    pub error: Option<String>,
}

/// How a replay looks.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawReplay {
    /// A status instead of that of the first answer.
    pub status: Option<u16>,
    /// Headers that mark it.
    pub headers: Option<BTreeMap<String, String>>,
}

/// The errors of an API.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawErrors {
    /// The body of every error; templates that know `code`, `message`, `status`, `field`, `key`,
    /// `route`, `request_id` and what stands in `values`.
    pub body: Option<Value>,
    /// Values that the body asks for, where an error does not say otherwise.
    pub values: Option<BTreeMap<String, Value>>,
    /// Errors by name: the standard ones changed, or the API's own.
    pub named: Option<BTreeMap<String, RawError>>,
    /// The name of the error for a field that is required and not there; `invalid_request` unless said otherwise.
    /// What people read is the error's own `message`, where it has one, here and below.
    pub missing_field: Option<String>,
    /// The name of the error for a list that is to begin or end at an object which is not there; `invalid_request`
    /// unless said otherwise.
    pub unknown_cursor: Option<String>,
    /// The names of the errors for other kinds of wrong.
    pub wrong: Option<RawWrong>,
    /// The name of the error for a status (`"429"`), for `4xx`, and for all `other` statuses.
    pub statuses: Option<BTreeMap<String, String>>,
}

/// The names of the errors for kinds of wrong; `invalid_request` unless said otherwise.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawWrong {
    /// For a body that cannot be read.
    pub unreadable: Option<String>,
    /// For an empty text where something else must be.
    pub empty_string: Option<String>,
    /// For a list that has no entries and must have some.
    pub empty_list: Option<String>,
    /// For what is no integer where only an integer can be.
    pub not_an_integer: Option<String>,
    /// For a number that is too small or too large.
    pub out_of_range: Option<String>,
    /// For a list that is to begin at one object and to end at another.
    pub both_cursors: Option<String>,
}

/// One error.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawError {
    /// The status, 400 to 999.
    pub status: Option<u16>,
    /// What a program reads; the error's name unless said otherwise.
    pub code: Option<Value>,
    /// What people read: a template that knows `status`, `field`, `wrong` (what is wrong with the request), `key` and
    /// `route`.
    pub message: Option<String>,
    /// Values that the body asks for.
    pub values: Option<BTreeMap<String, Value>>,
    /// Headers of its own.
    pub headers: Option<BTreeMap<String, String>>,
    /// A body of its own.
    pub body: Option<Value>,
}

/// Which answers mean what.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawClasses {
    /// The class of a status (`"409"`) or of a hundred (`4xx`), where it is not the usual one.
    pub statuses: Option<BTreeMap<String, RawClass>>,
    /// Codes in the body that outrank the status.
    pub codes: Option<Vec<RawCodes>>,
    /// A header whose `true` or `false` outranks status and code.
    pub should_retry: Option<String>,
}

/// Codes in the body of an error.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawCodes {
    /// Where the code stands, as a JSON pointer.
    pub at: Option<String>,
    /// The class of each code.
    pub values: Option<BTreeMap<String, RawClass>>,
}

/// What an answer means.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawClass {
    /// It worked.
    Success,
    /// The same request will never succeed.
    Permanent,
    /// Come back later.
    Throttling,
    /// Something went wrong that may heal.
    Transient,
}

/// How retry hints are spelled beside `Retry-After`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawHint {
    /// A header in milliseconds.
    pub ms_header: Option<String>,
    /// A field of an error's body in seconds, as a JSON pointer.
    pub body: Option<String>,
    /// A header of answers that throttle which says when the limit is fresh again. It counts as a hint
    /// only where it is named here, and only where there is no other.
    pub rate_limit_reset: Option<RawReset>,
}

/// The reset of a limit in a header.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawReset {
    /// The header, such as `x-ratelimit-reset`.
    pub header: Option<String>,
    /// How it is spelled; `epoch_s` unless said otherwise.
    pub r#as: Option<ResetForm>,
}

/// A route.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawRoute {
    /// The name, as scenarios write it.
    pub name: Option<String>,
    /// One sentence.
    pub summary: Option<String>,
    /// The method.
    pub method: Option<String>,
    /// The path, with parameters in braces: `/v1/charges/{id}`.
    pub path: Option<String>,
    /// What else tells it from routes with the same method and path.
    pub when: Option<RawWhen>,
    /// The input of an operation that calls it, unless the workload says otherwise; templates that know
    /// `n`, `submit` and `planted`.
    pub input: Option<Value>,
    /// The request that a built-in client makes of an input; templates that know `input`, `n` and
    /// `submit`.
    pub request: Option<RawRequest>,
    /// What the API demands of the body, by JSON pointer.
    pub fields: Option<BTreeMap<String, RawField>>,
    /// The object that it makes.
    pub creates: Option<RawCreates>,
    /// The object that it reads.
    pub reads: Option<RawUses>,
    /// The object that it changes.
    pub changes: Option<RawUses>,
    /// The object whose effect it undoes (and which it may change).
    pub reverses: Option<RawUses>,
    /// The object that it changes and whose job, if it is one in progress, it stops.
    pub cancels: Option<RawUses>,
    /// The objects that it lists.
    pub lists: Option<RawLists>,
    /// A list in the request, each item of which is done by itself.
    pub batch: Option<RawBatch>,
    /// Pieces of a file, which is kept when it is whole.
    pub upload: Option<RawUpload>,
    /// How requests of this route are encoded, where that is not as for the API.
    pub encoding: Option<RawEncoding>,
    /// Work that goes on behind the answer: the object that it makes is the job.
    pub job: Option<RawJob>,
    /// The object that it takes away; with `reads` and the like it is the one object of the route.
    pub removes: Option<RawUses>,
    /// The messages of the queue that it hands out, which templates find in `objects`.
    pub receives: Option<RawReceives>,
    /// Its side effect.
    pub effect: Option<RawEffect>,
    /// Its answer.
    pub success: Option<RawSuccess>,
    /// Its answer as a stream of server-sent events, for the requests that ask for one.
    pub stream: Option<RawStream>,
    /// What makes an answer usable, by JSON pointer.
    pub needs: Option<BTreeMap<String, ScalarOr<String, RawNeed>>>,
    /// Fields of the answer that repeat what the request said: pointer to `/POINTER`, `path:NAME` or
    /// `query:NAME`.
    pub echoes: Option<BTreeMap<String, String>>,
    /// Fields of the body that do not count when two requests are compared, as JSON pointers.
    pub volatile: Option<Vec<String>>,
    /// Whether the route takes idempotency keys (all but `GET` do, where the API has keys): `key`,
    /// `none`, or `natural` for none because a repeat does no harm by its nature.
    pub idempotent: Option<RawIdempotent>,
}

/// A queue of messages: what was received and not deleted is handed out again. A scenario can set each of
/// these for itself.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawQueue {
    /// The collection in which messages wait; the name of the queue.
    pub messages: Option<String>,
    /// The collection to which a message goes that was received too often.
    pub dead_letters: Option<String>,
    /// How long a message that was received is hidden from others; `30s` unless said.
    pub visibility: Option<Period>,
    /// How often a message is handed out before it goes to the dead letters, 1 to 1000; 5 unless said.
    pub max_receives: Option<u32>,
}

/// The messages of the queue that a route hands out. Each has the fields `receipt` and `receives` beside its
/// own.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawReceives {
    /// How many: `/POINTER` into the body or `query:NAME`; one where nothing is asked for.
    pub max: Option<String>,
    /// The most in one answer; 10 unless said.
    pub limit: Option<u32>,
}

/// Why or whether a request may be repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawIdempotent {
    /// The route takes none, because a repeat does no harm by its nature.
    Natural,
    /// The route takes idempotency keys.
    Key,
    /// The route takes none.
    None,
}

/// What tells a route from others with the same method and path.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawWhen {
    /// Headers and their exact values.
    pub headers: Option<BTreeMap<String, String>>,
    /// Fields of the body (JSON pointers) and their values; `null` for one that is absent.
    pub body: Option<BTreeMap<String, Value>>,
}

/// A request made of an input.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawRequest {
    /// The parameters of the path.
    pub path: Option<BTreeMap<String, String>>,
    /// The query.
    pub query: Option<BTreeMap<String, String>>,
    /// Further headers.
    pub headers: Option<BTreeMap<String, String>>,
    /// The body.
    pub body: Option<Value>,
}

/// What the API demands of one field.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawField {
    /// `string` (not empty), `text`, `empty` (a text without a character), `integer`, `number`, `boolean`, `list` or
    /// `object`; a list of them where it may have one of several.
    #[serde(rename = "type")]
    pub kind: Option<OneOrMany<String>>,
    /// True when it must be there.
    pub required: Option<bool>,
    /// The smallest number.
    pub min: Option<i64>,
    /// The largest number.
    pub max: Option<i64>,
    /// The fewest entries, where it is a list.
    pub min_items: Option<u32>,
    /// The most entries, where it is a list.
    pub max_items: Option<u32>,
    /// The types of its entries, where it is a list, written like `type`.
    pub items: Option<OneOrMany<String>>,
    /// Fields, where it is an object, of which it must have at least one.
    pub has_one_of: Option<Vec<String>>,
    /// The only values.
    #[serde(rename = "in")]
    pub one_of: Option<Vec<Value>>,
    /// What the API says when it does not hold.
    pub message: Option<String>,
    /// The name of the error when it is there and wrong, where `errors.wrong` names none for that kind of wrong.
    pub error: Option<String>,
}

/// The object that a route makes.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawCreates {
    /// Where it belongs.
    pub collection: Option<String>,
    /// How its id looks.
    pub id: Option<RawId>,
    /// The object; templates that know `id`, `request`, `path`, `query`, `target`, `now` and
    /// `request_id`. A field whose name ends in `?` is left out when what it asks for is not there.
    pub fields: Option<Value>,
}

/// How an id looks.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawId {
    /// What stands in front.
    pub prefix: Option<String>,
    /// The whole id as a template over the request, where the client chooses it; an object of that id is
    /// replaced.
    pub value: Option<String>,
    /// How many random letters and digits follow, 8 to 64; 24 unless said otherwise.
    pub random: Option<u32>,
}

/// The object that a route reads, changes, or whose effect it undoes.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawUses {
    /// Where it belongs.
    pub collection: Option<String>,
    /// Its id: `/POINTER` into the body, `path:NAME`, `query:NAME`, or a template.
    pub id: Option<String>,
    /// The error when the request lacks what its id asks for; `invalid_request` unless said otherwise.
    pub lacks: Option<String>,
    /// True when the request is served without the object as well; templates then find `null` in its place.
    pub optional: Option<bool>,
    /// A template over the request and `target`; where it gives true, the answer is `otherwise`.
    pub unless: Option<String>,
    /// What must hold of it, by JSON pointer.
    pub when: Option<BTreeMap<String, ScalarOr<String, RawNeed>>>,
    /// The error when that does not hold; `conflict` unless said otherwise.
    pub otherwise: Option<String>,
    /// Fields that are set in it.
    pub set: Option<Value>,
    /// With `reverses`, how much of the effect is undone, written like an effect's amount; all that is left
    /// of it, unless said. What is more than that is answered with `otherwise`.
    pub amount: Option<String>,
}

/// The objects that a route lists.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawLists {
    /// Where they belong.
    pub collection: Option<String>,
    /// Query parameters, and the field of an object (a JSON pointer) that must have their value.
    pub filters: Option<BTreeMap<String, String>>,
    /// The most objects in one answer, for which the query asks with `limit`; 100 unless said otherwise. A query that
    /// asks for none, for more or for no whole number is refused with `invalid_request`, or as `errors.wrong` says.
    pub limit: Option<u32>,
    /// True when a query that asks for more than `limit` is given so many instead of being refused.
    pub clamp: Option<bool>,
    /// The query parameter that says how many objects it asks for; `limit` unless said otherwise.
    pub size: Option<String>,
    /// How many objects there are in the answer to a query without `limit`; the most unless said otherwise.
    pub usual: Option<u32>,
    /// True when the newest object stands first.
    pub newest_first: Option<bool>,
    /// The query parameter that names the object (by the id that it was made with) behind which the answer begins.
    pub after: Option<String>,
    /// The query parameter that names the object (by the id that it was made with) before which the answer ends. A
    /// query with both is refused with `invalid_request`, or as `errors.wrong` says.
    pub before: Option<String>,
}

/// The side effect of a route.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawEffect {
    /// What it is called.
    pub kind: Option<String>,
    /// How much in the smallest unit: `/POINTER` into the body, `path:NAME`, `query:NAME`, or a template
    /// that knows what an answer knows.
    pub amount: Option<String>,
    /// The unit, written like the amount or as a plain word.
    pub unit: Option<String>,
    /// True when somebody pays for it.
    pub billed: Option<bool>,
    /// What it is about, written like the amount.
    pub subject: Option<String>,
    /// A list in the request: one effect for each, which templates know as `item`.
    pub items: Option<String>,
    /// The SHA-256 of what was kept, in hexadecimal, written like the amount.
    pub digest: Option<String>,
}

/// The answer of a route that worked.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawSuccess {
    /// The status; 200 unless said otherwise.
    pub status: Option<u16>,
    /// Further headers.
    pub headers: Option<BTreeMap<String, String>>,
    /// The body: a tree whose text leaves are templates, which know the entries of a batch as `results`. The
    /// object, unless said otherwise.
    pub body: Option<Value>,
}

/// An answer as a stream of server-sent events.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawStream {
    /// Which requests are answered so: fields of the body (JSON pointers) and their values. All, unless
    /// said otherwise.
    pub when: Option<BTreeMap<String, Value>>,
    /// The events. The last one says that the answer is whole: clients know it by its name, or by its
    /// text where it has none.
    pub events: Option<Vec<RawStreamEvent>>,
    /// Where an event carries a piece of the text, as a JSON pointer.
    pub text: Option<String>,
    /// Where events count themselves, each one more than the one before, as a JSON pointer.
    pub sequence: Option<String>,
    /// What must hold of some event, by JSON pointer.
    pub needs: Option<BTreeMap<String, ScalarOr<String, RawNeed>>>,
    /// How the vendor says that an answer was cut short by its length: which events become what.
    pub length: Option<Vec<RawEventChange>>,
    /// How an error comes in the middle of a stream.
    pub error: Option<RawErrorEvent>,
}

/// One entry of a stream.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawStreamEvent {
    /// What stands behind `event:`; left out for an event without a name.
    pub event: Option<String>,
    /// What stands behind `data:`: a tree whose text leaves are templates, which know what an answer
    /// knows, `index` (the number of the event, from 0) and `item`. Text alone goes out as it is,
    /// everything else as JSON.
    pub data: Option<Value>,
    /// A list, or a template for one: the entry becomes one event for each of its items.
    pub each: Option<Value>,
}

/// Another event in the place of one.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawEventChange {
    /// Which events: fields (JSON pointers) and their values.
    pub when: Option<BTreeMap<String, Value>>,
    /// Another name.
    pub event: Option<String>,
    /// Fields (JSON pointers) and what they become.
    pub set: Option<BTreeMap<String, Value>>,
}

/// How an error comes in the middle of a stream: an event with the body of one of the API's errors.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawErrorEvent {
    /// The event's name; none, unless said otherwise.
    pub event: Option<String>,
    /// The name of the error; `server_error` unless said otherwise.
    pub error: Option<String>,
}

/// What must hold of a field, in the long form; exactly one of these.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawNeed {
    /// One of these.
    #[serde(rename = "in")]
    pub one_of: Option<Vec<Value>>,
    /// Exactly this.
    pub equals: Option<Value>,
    /// A number above zero: what stands there is at least so large.
    pub min: Option<serde_json::Number>,
}
