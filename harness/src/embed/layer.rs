//! The fault engine as a tower layer, for an axum app and others.
//!
//! **Invariant:** without a strike request and answer pass through as they are, but for the request's
//! body, which is read whole first.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use brownout_provider::exchange::{Cut, End, Next, Wire};
use brownout_provider::provider::OwnAnswer;
use brownout_provider::shell::clock::Clock;
use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tower_layer::Layer;
use tower_service::Service;

use super::engine::{Engine, Struck};
use super::{Faults, NotHere, refuse};

/// The largest request body that is held; a larger one is answered 413.
const BODY_BYTES: usize = 16 << 20;

/// How often a body that is cut lets hyper write what it has before the connection ends.
const TURNS: u8 = 4;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A tower layer that strikes by rules; see [`Faults::layer`].
#[derive(Clone, Debug)]
pub struct FaultLayer(Arc<Engine>);

impl Faults {
    /// A layer for an axum app: `Router::new().route(…).layer(faults.layer()?)`. It belongs around the
    /// outermost router, where paths are whole.
    ///
    /// A fault at `before_commit` strikes before the app is asked, one at `after_commit` when its answer
    /// is there. `close` and `truncate` fail the answer's body, upon which hyper ends the connection: with
    /// nothing sent, or after the bytes that the rule says (over HTTP/2 it is the stream that ends). A
    /// client that hangs up takes the request with it, as it does without a layer.
    ///
    /// ```
    /// use brownout::build::{fault, rule};
    /// use brownout::embed::Faults;
    ///
    /// let resetting = Faults::on_routes([("create_order", "POST", "/orders")])
    ///     .rule(rule("lost").attempt(1).inject(fault::reset().after_commit()))
    ///     .finish()
    ///     .expect("right rules");
    /// let refused = resetting.layer().expect_err("hyper resets no connection").to_string();
    /// assert!(refused.contains("`lost` injects `reset`"), "{refused}");
    /// assert!(refused.contains("use `close`"), "{refused}");
    /// ```
    ///
    /// # Errors
    ///
    /// When a rule injects what a layer cannot do, each with the reason and what to use instead (see
    /// [`NotHere`]): what hyper has no way for (`reset`, `truncate: {then: rst}`, `half_close`, interim
    /// answers, wrong framing); what is the provider's own (keys, limits, streams, duplicates, the listening
    /// socket, `malformed: {at: before_commit}`); and the client's own death.
    pub fn layer(&self) -> Result<FaultLayer, NotHere> {
        refuse::check("a layer", &self.rules, refuse::in_a_layer)?;
        Ok(FaultLayer(Arc::clone(&self.engine)))
    }
}

impl<S> Layer<S> for FaultLayer {
    type Service = FaultService<S>;

    fn layer(&self, inner: S) -> FaultService<S> {
        FaultService { inner, engine: Arc::clone(&self.0) }
    }
}

/// A service whose requests are struck by rules.
#[derive(Clone, Debug)]
pub struct FaultService<S> {
    inner: S,
    engine: Arc<Engine>,
}

impl<S, I, O> Service<Request<I>> for FaultService<S>
where
    S: Service<Request<I>, Response = Response<O>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
    I: Body<Data = Bytes> + From<Bytes> + Send + 'static,
    I::Error: Into<BoxError>,
    O: Body<Data = Bytes> + Send + 'static,
    O::Error: Into<BoxError>,
{
    type Response = Response<FaultBody<O>>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<I>) -> Self::Future {
        // The service that was asked whether it is ready is the one to call.
        let other = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, other);
        Box::pin(serve(inner, Arc::clone(&self.engine), request))
    }
}

async fn serve<S, I, O>(
    mut inner: S,
    engine: Arc<Engine>,
    request: Request<I>,
) -> Result<Response<FaultBody<O>>, S::Error>
where
    S: Service<Request<I>, Response = Response<O>>,
    I: Body<Data = Bytes> + From<Bytes>,
    I::Error: Into<BoxError>,
    O: Body<Data = Bytes>,
    O::Error: Into<BoxError>,
{
    let (head, body) = request.into_parts();
    let body = match Limited::new(body, BODY_BYTES).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => return Ok(unread(&*error)),
    };
    let target = head.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let struck = engine.arrive((&head.method, target), &head.headers, &body);
    let request = Request::from_parts(head, I::from(body));
    let Some(struck) = struck else {
        return Ok(inner.call(request).await?.map(FaultBody::passed));
    };
    let clock = *engine.clock();
    clock.sleep(Duration::from_micros(struck.faults().before_us())).await;
    if !struck.faults().is_served() {
        return Ok(write(struck, None, clock).await);
    }
    let answer = inner.call(request).await?;
    clock.sleep(Duration::from_micros(struck.faults().after_us())).await;
    if !struck.faults().alters() {
        let succeeded = answer.status().is_success();
        struck.end(succeeded);
        return Ok(answer.map(FaultBody::passed));
    }
    let (head, body) = answer.into_parts();
    let body = match body.collect().await {
        Ok(body) => body.to_bytes(),
        // The app's own body fails, and so does what goes out.
        Err(error) => return Ok(Response::from_parts(head, FaultBody::failed(error.into()))),
    };
    let mut headers = head.headers;
    headers.remove(header::CONTENT_LENGTH);
    headers.remove(header::TRANSFER_ENCODING);
    let own = OwnAnswer { status: head.status.as_u16(), headers, body };
    Ok(write(struck, Some(own), clock).await)
}

/// What goes out in the place of the app's own answer.
async fn write<O>(struck: Struck, own: Option<OwnAnswer>, clock: Clock) -> Response<FaultBody<O>> {
    let ends = struck.faults().ends();
    let answer = match struck.answer(own) {
        Next::Answer(answer) => *answer,
        Next::Drop(_) | Next::GoAway(_) | Next::Done | Next::Wait { .. } => {
            // hyper sends the head together with the first of the body, and this one never comes.
            return Response::new(FaultBody::failed(Box::new(OnPurpose)));
        }
        Next::Silence => {
            // For as long as the client waits: hyper drops this when it hangs up.
            return std::future::pending().await;
        }
    };
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    struck.end(status.is_success() && !ends);
    let mut response = Response::new(FaultBody::paced(answer.body, answer.wire, clock));
    *response.status_mut() = status;
    *response.headers_mut() = answer.headers;
    response
}

/// A request whose body could not be read.
fn unread<O>(error: &(dyn std::error::Error + 'static)) -> Response<FaultBody<O>> {
    let status = if error.is::<LengthLimitError>() {
        StatusCode::PAYLOAD_TOO_LARGE
    } else {
        StatusCode::BAD_REQUEST
    };
    let mut response = Response::new(FaultBody(Inner::Paced(Paced::default())));
    *response.status_mut() = status;
    response
}

/// The connection is to end without the rest of the answer.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("a fault ends the connection on purpose")]
struct OnPurpose;

/// The body of an answer: the app's own, or what a fault makes of it.
pub struct FaultBody<O>(Inner<O>);

enum Inner<O> {
    Passed(Pin<Box<O>>),
    Paced(Paced),
    Failed(Option<BoxError>),
}

/// A body that goes out as a fault says.
#[derive(Default)]
struct Paced {
    left: Bytes,
    /// Bytes a piece; 0 for all at once.
    piece: usize,
    every: Duration,
    /// How many bytes go out before it ends early, and how; `None` for all.
    cut: Option<(usize, End)>,
    wait: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    clock: Option<Clock>,
    turns: u8,
}

impl<O> FaultBody<O> {
    fn passed(body: O) -> Self {
        Self(Inner::Passed(Box::pin(body)))
    }

    fn failed(error: BoxError) -> Self {
        Self(Inner::Failed(Some(error)))
    }

    fn paced(body: Bytes, wire: Wire, clock: Clock) -> Self {
        let Wire { body_after_us, pace, cut } = wire;
        let mut paced = Paced {
            cut: cut.map(|Cut { after_bytes, then }| {
                (usize::try_from(after_bytes).unwrap_or(usize::MAX), then)
            }),
            left: body,
            clock: Some(clock),
            ..Paced::default()
        };
        if let Some(pace) = pace {
            paced.piece = pace.bytes;
            paced.every = Duration::from_micros(pace.every_us);
        }
        paced.wait_for(Duration::from_micros(body_after_us));
        Self(Inner::Paced(paced))
    }
}

impl<O> fmt::Debug for FaultBody<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            Inner::Passed(_) => "FaultBody::Passed",
            Inner::Paced(_) => "FaultBody::Paced",
            Inner::Failed(_) => "FaultBody::Failed",
        })
    }
}

impl Paced {
    fn wait_for(&mut self, wait: Duration) {
        if let Some(clock) = self.clock.filter(|_| !wait.is_zero()) {
            self.wait = Some(Box::pin(async move { clock.sleep(wait).await }));
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(wait) = &mut self.wait {
            std::task::ready!(wait.as_mut().poll(cx));
            self.wait = None;
        }
        let most = self.cut.map_or(self.left.len(), |(after, _)| after.min(self.left.len()));
        if most > 0 {
            let piece = if self.piece == 0 { most } else { most.min(self.piece) };
            let piece = self.left.split_to(piece);
            if let Some((after, _)) = &mut self.cut {
                *after -= piece.len();
            }
            if !self.left.is_empty() {
                self.wait_for(self.every);
            }
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        match self.cut {
            None => Poll::Ready(None),
            Some((_, End::Stall)) => Poll::Pending,
            // What stands in hyper's buffer would be lost together with the connection.
            Some(_) if self.turns < TURNS => {
                self.turns += 1;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Some(_) => Poll::Ready(Some(Err(Box::new(OnPurpose)))),
        }
    }
}

impl<O> Body for FaultBody<O>
where
    O: Body<Data = Bytes>,
    O::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.get_mut().0 {
            Inner::Passed(body) => {
                body.as_mut().poll_frame(cx).map(|frame| frame.map(|one| one.map_err(Into::into)))
            }
            Inner::Paced(paced) => paced.poll(cx),
            Inner::Failed(error) => Poll::Ready(error.take().map(Err)),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Inner::Passed(body) => body.is_end_stream(),
            Inner::Paced(paced) => paced.cut.is_none() && paced.left.is_empty(),
            Inner::Failed(error) => error.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Inner::Passed(body) => body.size_hint(),
            // With a cut the head announces more than will come.
            Inner::Paced(paced) => {
                SizeHint::with_exact(u64::try_from(paced.left.len()).unwrap_or(u64::MAX))
            }
            Inner::Failed(_) => SizeHint::default(),
        }
    }
}
