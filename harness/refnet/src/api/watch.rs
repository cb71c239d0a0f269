//! Watches: a stream of changes from the store's history. A watch holds a revision, not a queue: a slow client costs nothing, and one
//! that is too slow is told that its revision has expired.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use http::Response;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Inner;
use super::kinds::Kind;
use super::request::{Call, Form};
use super::respond;
use super::selector::Selector;
use super::service::Body;
use super::status::ApiError;
use super::store::{EventType, ShelfId};

/// How often a quiet watch is told the newest revision, as the real API does it: once a minute.
const BOOKMARK_PERIOD: Duration = Duration::from_secs(60);
/// The longest a watch may last, whatever the client says.
const WATCH_LIMIT: Duration = Duration::from_secs(3600);
/// How long a watch lasts when the client does not say.
const WATCH_DEFAULT: Duration = Duration::from_secs(1800);

/// What is watched, and how it is told.
pub(crate) struct Watch {
    pub(crate) shelf: ShelfId,
    pub(crate) kind: Arc<Kind>,
    pub(crate) version: String,
    pub(crate) namespace: Option<String>,
    pub(crate) selector: Selector,
    pub(crate) form: Form,
}

struct State {
    inner: Arc<Inner>,
    watch: Watch,
    /// Everything up to here has been told.
    revision: u64,
    signal: watch::Receiver<u64>,
    /// Lines that are ready.
    ready: VecDeque<Bytes>,
    bookmarks: bool,
    next_bookmark: Instant,
    deadline: Instant,
    stopped: CancellationToken,
    /// The columns of a table are told once.
    columns_told: bool,
    ended: bool,
}

/// Starts a watch. What is there already is told first where the client asks for it.
pub(crate) fn start(inner: &Arc<Inner>, call: &Call, watch: Watch, stopped: &CancellationToken) -> Result<Response<Body>, ApiError> {
    let from = call.query.number("resourceVersion")?.unwrap_or(0);
    let bookmarks = call.query.flag("allowWatchBookmarks");
    let initial = call.query.flag("sendInitialEvents");
    if initial && call.query.first("resourceVersionMatch") != Some("NotOlderThan") {
        return Err(ApiError::bad_request("sendInitialEvents requires resourceVersionMatch=NotOlderThan"));
    }
    let limit = call.query.number("timeoutSeconds")?.filter(|n| *n > 0).map_or(WATCH_DEFAULT, Duration::from_secs).min(WATCH_LIMIT);
    let now = Instant::now();
    let mut state = {
        let store = inner.lock();
        let shelf = &store.shelves[watch.shelf];
        let mut state = State {
            inner: inner.clone(),
            signal: shelf.subscribe(),
            revision: from,
            ready: VecDeque::new(),
            bookmarks,
            next_bookmark: now + BOOKMARK_PERIOD,
            deadline: now + limit,
            stopped: stopped.clone(),
            columns_told: false,
            ended: false,
            watch,
        };
        if from == 0 || initial {
            let objects: Vec<Arc<Value>> = store
                .select(state.watch.shelf, state.watch.namespace.as_deref(), &state.watch.selector)
                .map(|(_, object)| object.clone())
                .collect();
            state.revision = store.revision();
            for object in objects {
                state.tell(EventType::Added, &object);
            }
            if initial {
                state.bookmark(true);
            }
        } else {
            // A watch from the future starts now.
            state.revision = from.min(store.revision());
        }
        state
    };
    state.catch_up();
    let lines = futures::stream::unfold(state, |mut state| async move { state.next().await.map(|line| (line, state)) });
    let body = StreamBody::new(lines.map(|line| Ok(Frame::data(line)))).boxed_unsync();
    let mut response = Response::new(body);
    response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    response.headers_mut().insert(http::header::CACHE_CONTROL, http::HeaderValue::from_static("no-cache, private"));
    Ok(response)
}

impl State {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(first) = self.ready.pop_front() {
                if self.ready.is_empty() {
                    return Some(first);
                }
                // One frame for all that is ready.
                let mut all = Vec::from(first);
                self.ready.drain(..).for_each(|line| all.extend_from_slice(&line));
                return Some(Bytes::from(all));
            }
            if self.ended {
                return None;
            }
            tokio::select! {
                biased;
                () = self.stopped.cancelled() => return None,
                changed = self.signal.changed() => {
                    if changed.is_err() {
                        return None;
                    }
                    self.catch_up();
                }
                () = tokio::time::sleep_until(self.deadline) => return None,
                () = tokio::time::sleep_until(self.next_bookmark), if self.bookmarks => {
                    // The pace of bookmarks is the specification's.
                    self.next_bookmark = Instant::now() + BOOKMARK_PERIOD;
                    self.catch_up();
                    self.bookmark(false);
                }
            }
        }
    }

    /// Tells everything that has happened since.
    fn catch_up(&mut self) {
        self.signal.borrow_and_update();
        let inner = self.inner.clone();
        let (changes, newest, retired) = {
            let store = inner.lock();
            let shelf = &store.shelves[self.watch.shelf];
            (shelf.since(self.revision), store.revision(), shelf.retired)
        };
        self.ended |= retired;
        match changes {
            Ok(changes) => {
                for change in changes {
                    if let Some((event, object)) = change.seen_by(self.watch.namespace.as_deref(), &self.watch.selector) {
                        self.revision = change.revision;
                        self.tell(event, &object);
                    }
                }
                self.revision = newest;
            }
            Err(error) => {
                self.line("ERROR", &error.status());
                self.ended = true;
            }
        }
    }

    fn tell(&mut self, event: EventType, object: &Arc<Value>) {
        let object = respond::in_version(&self.watch.kind, &self.watch.version, object);
        let told = match self.watch.form {
            Form::Table => {
                let all = respond::columns(&self.watch.kind, &self.watch.version);
                let revision = object.pointer("/metadata/resourceVersion").cloned().unwrap_or(json!(""));
                let mut table = respond::table(all, &json!({"resourceVersion": revision}), std::slice::from_ref(&object));
                if std::mem::replace(&mut self.columns_told, true) {
                    table["columnDefinitions"] = Value::Null;
                }
                table
            }
            Form::Metadata => respond::metadata_only(&object),
            Form::Json | Form::Yaml | Form::Discovery(_) => Value::clone(&object),
        };
        self.line(event.name(), &told);
    }

    fn bookmark(&mut self, initial: bool) {
        let mut metadata = json!({"resourceVersion": self.revision.to_string(), "creationTimestamp": null});
        if initial {
            metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let object = match self.watch.form {
            Form::Table => {
                json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": {"resourceVersion": self.revision.to_string()}, "columnDefinitions": null, "rows": []})
            }
            Form::Metadata => json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata}),
            Form::Json | Form::Yaml | Form::Discovery(_) => {
                json!({"kind": self.watch.kind.kind, "apiVersion": self.watch.kind.api_version(&self.watch.version), "metadata": metadata})
            }
        };
        self.line("BOOKMARK", &object);
    }

    fn line(&mut self, event: &str, object: &Value) {
        let mut line = json!({"type": event, "object": object}).to_string();
        line.push('\n');
        self.ready.push_back(Bytes::from(line));
    }
}
