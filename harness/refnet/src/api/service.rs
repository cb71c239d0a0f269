//! The API as a tower service: reads bodies within their limit, answers, and never fails: a refusal is a response.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use tokio_util::sync::CancellationToken;

use super::Inner;
use super::status::ApiError;

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

    async fn answer<B>(self, request: Request<B>) -> Response<Body>
    where
        B: hyper::body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        if self.stopped.is_cancelled() {
            return refusal(&ApiError::unavailable("the API server has stopped"));
        }
        let (_head, body) = request.into_parts();
        let _body = match Limited::new(body, BODY_LIMIT).collect().await {
            Ok(collected) => collected.to_bytes(),
            Err(error) if error.is::<LengthLimitError>() => return refusal(&ApiError::too_large(BODY_LIMIT)),
            Err(error) => return refusal(&ApiError::bad_request(format!("read the body: {error}"))),
        };
        let _ = &self.inner;
        refusal(&ApiError::no_path())
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

/// A `Status` as a response.
fn refusal(error: &ApiError) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::from(error.status().to_string())).boxed_unsync());
    *response.status_mut() = http::StatusCode::from_u16(error.code).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    response
}
