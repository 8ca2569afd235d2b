//! The client that uploads a file in pieces.
//!
//! **Invariant:** what it does is what its habits say; no story is known here.

use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::time::sleep;

use crate::drive::in_process::Connection;
use crate::drive::loopback::{Ask, Reply, send_over};
use crate::operation::{Operation, Outcome};

/// How many bytes a piece has.
const PIECE: usize = 2_500;

/// How often it begins.
const UPLOADS: u32 = 8;

/// How many pieces it sends of one upload at most.
const PIECES: u32 = 40;

/// What a client that uploads does.
#[derive(Clone, Copy, Debug)]
pub struct Uploads {
    /// True: after a failure it asks how much is there, and goes on from there; false: it begins anew.
    pub resumes: bool,
    /// True: it compares the checksum of what was kept with that of the source.
    pub compares: bool,
}

/// How one upload ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Done,
    Lost,
}

/// One upload that is under way.
struct Upload<'a> {
    habits: Uploads,
    connection: &'a Connection,
    content: &'a [u8],
    place: String,
}

/// Does one operation.
pub(in crate::incident) async fn serve(
    habits: Uploads,
    operation: Operation,
    connection: Connection,
) -> Outcome {
    let content = operation.input["content"].as_str().unwrap_or_default().to_owned();
    for nth in 1..=UPLOADS {
        let Some(place) = begin(&operation, &connection, nth).await else {
            sleep(Duration::from_secs(1)).await;
            continue;
        };
        let upload = Upload { habits, connection: &connection, content: content.as_bytes(), place };
        if upload.send().await == End::Done {
            return Outcome::succeeded();
        }
        connection.log(&format!("{} upload {nth} came to nothing", operation.id));
        sleep(Duration::from_secs(1)).await;
    }
    Outcome::unknown("no upload came to its end")
}

/// Begins an upload; where its pieces go.
async fn begin(operation: &Operation, connection: &Connection, nth: u32) -> Option<String> {
    let mut body = operation.input.clone();
    body.as_object_mut()?.remove("content");
    let key = format!("{}-{nth}", operation.id);
    let headers = vec![("content-type", "application/json".to_owned()), ("idempotency-key", key)];
    let body = Bytes::from(body.to_string());
    let answer = ask(connection, (Method::POST, "/v1/uploads"), headers, body).await?;
    let place = answer.headers.get("location")?.to_str().ok()?;
    (answer.status == 201).then(|| place.to_owned())
}

impl Upload<'_> {
    async fn send(&self) -> End {
        let mut at = 0;
        for _ in 0..PIECES {
            let to = (at + PIECE).min(self.content.len());
            let piece = Bytes::copy_from_slice(&self.content[at..to]);
            let span = format!("bytes {at}-{}/{}", to.saturating_sub(1), self.content.len());
            match self.put(span, piece).await {
                Some(answer) if answer.status == 200 => return self.judge(&answer),
                Some(answer) if answer.status == 308 => at = self.kept(&answer.headers),
                Some(answer) if answer.status == 403 => return End::Lost,
                _ if !self.habits.resumes => return End::Lost,
                _ => {
                    sleep(Duration::from_secs(1)).await;
                    let question = format!("bytes */{}", self.content.len());
                    match self.put(question, Bytes::new()).await {
                        Some(answer) if answer.status == 200 => return self.judge(&answer),
                        Some(answer) if answer.status == 308 => at = self.kept(&answer.headers),
                        _ => {}
                    }
                }
            }
        }
        End::Lost
    }

    async fn put(&self, span: String, piece: Bytes) -> Option<Reply> {
        let headers = vec![("content-range", span)];
        ask(self.connection, (Method::PUT, &self.place), headers, piece).await
    }

    /// How much the provider has, less than all.
    fn kept(&self, headers: &HeaderMap) -> usize {
        let range = headers.get("range").and_then(|range| range.to_str().ok());
        let last = range.and_then(|range| range.rsplit('-').next()?.parse::<usize>().ok());
        last.map_or(0, |last| last + 1).min(self.content.len().saturating_sub(1))
    }

    fn judge(&self, answer: &Reply) -> End {
        let said: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let mut own = String::new();
        for byte in Sha256::digest(self.content) {
            write!(own, "{byte:02x}").expect("a string takes every digit");
        }
        let is_whole = !self.habits.compares || said["sha256"] == own.as_str();
        if is_whole { End::Done } else { End::Lost }
    }
}

async fn ask(
    connection: &Connection,
    (method, path): (Method, &str),
    mut headers: Vec<(&'static str, String)>,
    body: Bytes,
) -> Option<Reply> {
    let url = format!("{}{path}", connection.url);
    headers.push(("authorization", format!("Bearer {}", connection.api_key)));
    let timeout = Duration::from_secs(5);
    send_over(connection, &Ask { method, url: &url, headers, body, timeout }).await.ok()
}
