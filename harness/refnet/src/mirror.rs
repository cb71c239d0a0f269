//! A local copy of every object of a kind, kept by a watch. Readers take snapshots and are woken by one pulse for all kinds;
//! nothing here decides anything, so a reader always acts on the whole state and never on a single event.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures::StreamExt;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Pause before a watch that broke is tried again.
const RETRY: Duration = Duration::from_millis(100);

/// Pause before a kind that was not served is asked for again.
const LATER: Duration = Duration::from_millis(500);

/// Namespace (empty for cluster-scoped kinds) and name.
pub type Key = (String, String);

/// Wakes readers when any mirror that shares it changes.
#[derive(Debug, Clone)]
pub struct Pulse(Arc<watch::Sender<u64>>);

impl Pulse {
    /// A pulse nobody has given yet.
    pub fn new() -> Pulse {
        Pulse(Arc::new(watch::Sender::new(0)))
    }

    /// Says that something changed.
    pub fn beat(&self) {
        self.0.send_modify(|n| *n = n.wrapping_add(1));
    }

    /// A receiver that has seen nothing yet: its first wait returns at once.
    pub fn listen(&self) -> watch::Receiver<u64> {
        let mut receiver = self.0.subscribe();
        receiver.mark_changed();
        receiver
    }
}

impl Default for Pulse {
    fn default() -> Self {
        Pulse::new()
    }
}

/// A local copy of every object of a kind.
#[derive(Debug)]
pub struct Mirror<K> {
    objects: Arc<RwLock<BTreeMap<Key, Arc<K>>>>,
    synced: Arc<AtomicBool>,
    served: Arc<AtomicBool>,
}

impl<K> Clone for Mirror<K> {
    fn clone(&self) -> Self {
        Mirror { objects: Arc::clone(&self.objects), synced: Arc::clone(&self.synced), served: Arc::clone(&self.served) }
    }
}

impl<K> Mirror<K>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    /// Starts to follow what `api` lists, until `cancel`. A kind that is not served is an empty mirror until it is.
    pub fn follow(api: Api<K>, pulse: Pulse, cancel: CancellationToken) -> Mirror<K> {
        let mirror = Mirror { objects: Arc::default(), synced: Arc::default(), served: Arc::default() };
        tokio::spawn(mirror.clone().keep(api, pulse, cancel));
        mirror
    }

    /// Whether the first list (or the answer that there is no such kind) has come.
    pub fn synced(&self) -> bool {
        self.synced.load(Ordering::Acquire)
    }

    /// Whether the API serves the kind.
    pub fn served(&self) -> bool {
        self.served.load(Ordering::Acquire)
    }

    /// Every object, in the order of namespace and name.
    pub fn all(&self) -> Vec<Arc<K>> {
        self.objects.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// One object; `namespace` is empty for cluster-scoped kinds.
    pub fn find(&self, namespace: &str, name: &str) -> Option<Arc<K>> {
        let key = (namespace.to_owned(), name.to_owned());
        self.objects.read().unwrap_or_else(PoisonError::into_inner).get(&key).cloned()
    }

    async fn keep(self, api: Api<K>, pulse: Pulse, cancel: CancellationToken) {
        let mut events = watcher::watcher(api, watcher::Config::default()).boxed();
        let mut listing = BTreeMap::new();
        loop {
            let event = tokio::select! {
                () = cancel.cancelled() => return,
                event = events.next() => event,
            };
            match event {
                None => return,
                Some(Ok(event)) => {
                    if self.take(event, &mut listing) {
                        pulse.beat();
                    }
                }
                Some(Err(error)) => {
                    let missing = not_served(&error);
                    if missing && (!self.synced() || self.served()) {
                        self.take(Event::Init, &mut listing);
                        self.take(Event::InitDone, &mut listing);
                        self.served.store(false, Ordering::Release);
                        pulse.beat();
                    }
                    // The pause is the specification: a watch that fails at once must not become a busy loop.
                    let pause = tokio::time::sleep(if missing { LATER } else { RETRY });
                    if cancel.run_until_cancelled(pause).await.is_none() {
                        return;
                    }
                }
            }
        }
    }

    /// Takes an event in; returns whether readers see something new.
    fn take(&self, event: Event<K>, listing: &mut BTreeMap<Key, Arc<K>>) -> bool {
        let mut objects = self.objects.write().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Init => {
                listing.clear();
                false
            }
            Event::InitApply(object) => {
                listing.insert(key(&object), Arc::new(object));
                false
            }
            Event::InitDone => {
                *objects = std::mem::take(listing);
                self.served.store(true, Ordering::Release);
                self.synced.store(true, Ordering::Release);
                true
            }
            Event::Apply(object) => {
                objects.insert(key(&object), Arc::new(object));
                true
            }
            Event::Delete(object) => {
                objects.remove(&key(&object));
                true
            }
        }
    }
}

fn key<K: Resource>(object: &K) -> Key {
    (object.namespace().unwrap_or_default(), object.name_any())
}

fn not_served(error: &watcher::Error) -> bool {
    matches!(error, watcher::Error::InitialListFailed(kube::Error::Api(status)) if status.code == 404)
}
