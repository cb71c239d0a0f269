//! The API as a tower service: reads bodies within their limit, answers, and never fails: a refusal is a response.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio_util::sync::CancellationToken;

use super::gate::Gate;
use super::handle::handle;
use super::request::Call;
use super::status::ApiError;
use super::{Inner, respond, running};

/// Largest request body, as the real API has it: 3 MiB.
pub(super) const BODY_LIMIT: usize = 3 * 1024 * 1024;

/// Body of an answer.
pub type Body = http_body_util::combinators::UnsyncBoxBody<Bytes, Infallible>;

/// The API without a socket. Clones share the store.
#[derive(Clone)]
pub struct ApiService {
    inner: Arc<Inner>,
    stopped: CancellationToken,
}

impl ApiService {
    pub(super) fn new(inner: Arc<Inner>) -> ApiService {
        let stopped = inner.stopped.clone();
        ApiService { inner, stopped }
    }

    /// The same, but its watches end with this token.
    pub(super) fn ending_with(self, stopped: CancellationToken) -> ApiService {
        ApiService { stopped, ..self }
    }

    /// What stands still while the server is paused.
    pub(super) fn gate(&self) -> Arc<Gate> {
        self.inner.gate.clone()
    }

    async fn answer<B>(self, request: Request<B>) -> Response<Body>
    where
        B: hyper::body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        tokio::select! {
            () = self.inner.gate.passed() => {}
            () = self.stopped.cancelled() => {}
        }
        if self.stopped.is_cancelled() {
            return respond::refusal(&ApiError::unavailable("the API server has stopped"));
        }
        let (mut head, body) = request.into_parts();
        let body = match Limited::new(body, BODY_LIMIT).collect().await {
            Ok(collected) => collected.to_bytes(),
            Err(error) if error.is::<LengthLimitError>() => return respond::refusal(&ApiError::too_large(BODY_LIMIT)),
            Err(error) => return respond::refusal(&ApiError::bad_request(format!("read the body: {error}"))),
        };
        let query = head.uri.query().unwrap_or_default();
        match Call::new(head.method, head.uri.path(), query, &head.headers, body) {
            // Documents about every kind take long to write, unoptimised: not on a thread that serves leases.
            Ok(call) if call.path.starts_with("/openapi/") => {
                let writing = tokio::task::spawn_blocking(move || handle(&self.inner, &call, &self.stopped));
                writing.await.unwrap_or_else(|error| respond::refusal(&ApiError::internal(error.to_string())))
            }
            Ok(call) if running::is_meant(&call) => {
                let on_upgrade = head.extensions.remove::<hyper::upgrade::OnUpgrade>();
                let connection = running::Connection { headers: head.headers, on_upgrade, stopped: self.stopped.clone() };
                running::answer(&self.inner, &call, connection).await
            }
            Ok(call) => handle(&self.inner, &call, &self.stopped),
            Err(error) => respond::refusal(&error),
        }
    }
}

impl<B> tower::Service<Request<B>> for ApiService
where
    B: hyper::body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move { Ok(service.answer(request).await) })
    }
}
