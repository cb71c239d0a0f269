//! Waiting for an object by watching it: every state is looked at once, and when the limit is reached the last states are known.

use std::pin::pin;
use std::time::Duration;

use futures::StreamExt;
use kube::runtime::{WatchStreamExt, watcher};
use serde_json::Value;
use tokio::time::Instant;

use super::{ApiError, Call, Cluster, ResourceRef};

/// What a call within a wait has at least, however short the wait: a busy API is not one that is gone.
const CALL: Duration = Duration::from_secs(2);

/// What a look at a state says.
pub enum Watched<T> {
    /// This is what was waited for.
    Yes(T),
    /// Not yet; what blocks it, in words.
    NotYet(String),
}

/// A wait that reached its limit.
#[derive(Debug, Clone, Default)]
pub struct WaitEnd {
    /// What blocked it: the last states, newest last, at most 5, no two alike in a row.
    pub last: Vec<String>,
}

impl Cluster {
    /// Looks at every state of an object (`None` = it does not exist) until `look` is content or the limit is reached.
    ///
    /// A watch that breaks is begun again; what is not served yet is asked for again until the limit. No call within the wait takes longer
    /// than its limit, or two seconds where that is more.
    ///
    /// # Errors
    /// The outer one: the API cannot be reached, at the beginning or at the limit. The inner one: the limit.
    pub async fn wait<T>(
        &self,
        resource: &ResourceRef,
        limit: Duration,
        mut look: impl FnMut(Option<Value>) -> Watched<T>,
    ) -> Result<Result<T, WaitEnd>, ApiError> {
        let until = Instant::now() + limit;
        let calls = Cluster { limit: self.limit.min(limit.max(CALL)), ..self.clone() };
        let mut end = WaitEnd::default();
        let what = Call { operation: "watch", object: resource.to_string() };
        let api = loop {
            match calls.api(resource, &what).await {
                Ok(api) => break api,
                Err(ApiError::Refused { code: 404, message, .. }) => match look(None) {
                    Watched::Yes(found) => return Ok(Ok(found)),
                    Watched::NotYet(_) => end.push(message),
                },
                // An API that does not answer now may, as the watch finds out from here on; one that never does is no object that is missing.
                Err(error @ ApiError::Call { .. }) if Instant::now() < until => end.push(error.to_string()),
                Err(error) => return Err(error),
            }
            if Instant::now() >= until {
                return Ok(Err(end));
            }
            // Discovery cannot be watched; asking again is all there is, and this is how often.
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        let mut states = pin!(watcher::watch_object(api, &resource.name).default_backoff());
        loop {
            let state = match tokio::time::timeout_at(until, states.next()).await {
                Err(_) | Ok(None) => break,
                Ok(Some(Err(error))) => {
                    end.push(format!("the watch broke: {}", super::chain(&error)));
                    continue;
                }
                Ok(Some(Ok(state))) => state.as_ref().map(super::value).transpose()?,
            };
            match look(state) {
                Watched::Yes(found) => return Ok(Ok(found)),
                Watched::NotYet(blocked) => end.push(blocked),
            }
        }
        // A watch is as silent when nothing changes as when there is nobody to tell of it: the state is read once more.
        match look(calls.read(resource).await?) {
            Watched::Yes(found) => Ok(Ok(found)),
            Watched::NotYet(blocked) => {
                end.push(blocked);
                Ok(Err(end))
            }
        }
    }
}

impl WaitEnd {
    /// Adds a state.
    pub fn push(&mut self, state: String) {
        if self.last.last() == Some(&state) {
            return;
        }
        self.last.push(state);
        if self.last.len() > 5 {
            self.last.remove(0);
        }
    }

    /// The last of them.
    pub fn newest(&self) -> &str {
        self.last.last().map_or("nothing was seen of it", String::as_str)
    }
}
