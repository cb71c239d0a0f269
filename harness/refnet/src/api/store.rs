//! The store: every object, one revision counter, and a bounded history of changes a kind, from which watches are served. It knows
//! nothing of HTTP and decides nothing; `write` does.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::watch;

use super::kinds::Kind;
use super::selector::Selector;
use super::status::ApiError;

/// Namespace (empty for cluster scope) and name.
pub(crate) type Key = (String, String);
/// Index of a shelf.
pub(crate) type ShelfId = usize;

/// Changes kept for watches that come late.
const HISTORY_LIMIT: usize = 1000;
/// Values kept in one history, all objects together.
const HISTORY_WEIGHT_LIMIT: usize = 200_000;
/// Values in the whole store; more is refused.
const STORE_WEIGHT_LIMIT: usize = 20_000_000;

/// Every object of a server.
pub(crate) struct Store {
    revision: u64,
    pub(crate) shelves: Vec<Shelf>,
    /// (group, plural) of what is served.
    by_plural: HashMap<(String, String), ShelfId>,
    /// Where an object with this uid is.
    by_uid: HashMap<String, (ShelfId, Key)>,
    weight: usize,
}

/// The objects of one kind.
pub(crate) struct Shelf {
    pub(crate) kind: Arc<Kind>,
    pub(crate) objects: BTreeMap<Key, Arc<Value>>,
    history: VecDeque<Change>,
    history_weight: usize,
    /// The newest revision that is no longer in the history.
    forgotten: u64,
    /// Tells watches that something changed.
    signal: watch::Sender<u64>,
    /// The kind's definition is gone.
    pub(crate) retired: bool,
}

/// One change, as watches tell it.
#[derive(Clone)]
pub(crate) struct Change {
    pub(crate) revision: u64,
    namespace: String,
    before: Option<Arc<Value>>,
    /// The new state; of a deleted object the last one, with the revision of its deletion.
    object: Arc<Value>,
    deleted: bool,
    weight: usize,
}

/// What a watch tells of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EventType {
    Added,
    Modified,
    Deleted,
}

impl EventType {
    pub(crate) fn name(self) -> &'static str {
        match self {
            EventType::Added => "ADDED",
            EventType::Modified => "MODIFIED",
            EventType::Deleted => "DELETED",
        }
    }
}

impl Change {
    /// What this change is to somebody who sees only what `namespace` and `selector` let through.
    pub(crate) fn seen_by(&self, namespace: Option<&str>, selector: &Selector) -> Option<(EventType, Arc<Value>)> {
        if namespace.is_some_and(|n| n != self.namespace) {
            return None;
        }
        let before = self.before.as_ref().is_some_and(|object| selector.matches(object));
        let after = !self.deleted && selector.matches(&self.object);
        let event = match (before, after) {
            (false, false) => return None,
            (false, true) => EventType::Added,
            (true, true) => EventType::Modified,
            (true, false) => EventType::Deleted,
        };
        Some((event, self.object.clone()))
    }
}

impl Store {
    pub(crate) fn new() -> Store {
        Store { revision: 1, shelves: Vec::new(), by_plural: HashMap::new(), by_uid: HashMap::new(), weight: 0 }
    }

    /// A store of its own with the same objects; nobody watches it, and it has no history.
    pub(crate) fn apart(&self) -> Store {
        let shelf = |shelf: &Shelf| Shelf {
            kind: shelf.kind.clone(),
            objects: shelf.objects.clone(),
            history: VecDeque::new(),
            history_weight: 0,
            forgotten: self.revision,
            signal: watch::Sender::new(self.revision),
            retired: shelf.retired,
        };
        Store {
            revision: self.revision,
            shelves: self.shelves.iter().map(shelf).collect(),
            by_plural: self.by_plural.clone(),
            by_uid: self.by_uid.clone(),
            weight: self.weight,
        }
    }

    /// The newest revision.
    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    /// Serves a kind. One that is served already gets the new definition and keeps its objects.
    pub(crate) fn serve(&mut self, kind: Kind) -> ShelfId {
        let name = (kind.group.clone(), kind.plural.clone());
        if let Some(id) = self.by_plural.get(&name) {
            self.shelves[*id].kind = Arc::new(kind);
            return *id;
        }
        self.shelves.push(Shelf {
            kind: Arc::new(kind),
            objects: BTreeMap::new(),
            history: VecDeque::new(),
            history_weight: 0,
            forgotten: self.revision,
            signal: watch::Sender::new(self.revision),
            retired: false,
        });
        self.by_plural.insert(name, self.shelves.len() - 1);
        self.shelves.len() - 1
    }

    /// Ends serving a kind; its objects must have been removed.
    pub(crate) fn retire(&mut self, id: ShelfId) {
        let shelf = &mut self.shelves[id];
        shelf.retired = true;
        shelf.history.clear();
        self.by_plural.remove(&(shelf.kind.group.clone(), shelf.kind.plural.clone()));
        shelf.signal.send_replace(self.revision);
    }

    pub(crate) fn find(&self, group: &str, plural: &str) -> Option<ShelfId> {
        self.by_plural.get(&(group.to_owned(), plural.to_owned())).copied()
    }

    /// The shelf of a core kind, which is always there.
    pub(crate) fn core(&self, plural: &str) -> &Shelf {
        let id = self.by_plural.get(&(String::new(), plural.to_owned())).copied().unwrap_or(0);
        &self.shelves[id]
    }

    /// The kinds that are served.
    pub(crate) fn served(&self) -> impl Iterator<Item = (ShelfId, &Shelf)> {
        self.shelves.iter().enumerate().filter(|(_, shelf)| !shelf.retired)
    }

    pub(crate) fn get(&self, shelf: ShelfId, key: &Key) -> Option<&Arc<Value>> {
        self.shelves[shelf].objects.get(key)
    }

    /// Where the object with this uid is.
    pub(crate) fn by_uid(&self, uid: &str) -> Option<&(ShelfId, Key)> {
        self.by_uid.get(uid)
    }

    /// Objects with their keys, by namespace and selector.
    pub(crate) fn select<'a>(
        &'a self,
        shelf: ShelfId,
        namespace: Option<&'a str>,
        selector: &'a Selector,
    ) -> impl Iterator<Item = (&'a Key, &'a Arc<Value>)> + 'a {
        let objects = self.shelves[shelf].objects.iter();
        objects.filter(move |(key, object)| namespace.is_none_or(|n| n == key.0) && selector.matches(object))
    }

    /// Whether nothing is left in a namespace.
    pub(crate) fn is_empty_namespace(&self, namespace: &str) -> bool {
        let from = (namespace.to_owned(), String::new());
        self.shelves.iter().all(|shelf| shelf.objects.range(from.clone()..).next().is_none_or(|(key, _)| key.0 != namespace))
    }

    /// Whether there is room for more.
    pub(crate) fn has_room(&self) -> Result<(), ApiError> {
        if self.weight > STORE_WEIGHT_LIMIT { Err(ApiError::internal("the store is full: database space exceeded")) } else { Ok(()) }
    }

    /// Puts an object under the next revision.
    pub(crate) fn put(&mut self, shelf: ShelfId, key: Key, mut object: Value) -> Arc<Value> {
        self.revision += 1;
        object["metadata"]["resourceVersion"] = json!(self.revision.to_string());
        if let Some(uid) = object.pointer("/metadata/uid").and_then(Value::as_str) {
            self.by_uid.insert(uid.to_owned(), (shelf, key.clone()));
        }
        let weight = weigh(&object);
        let object = Arc::new(object);
        let before = self.shelves[shelf].objects.insert(key.clone(), object.clone());
        self.weight = (self.weight + weight).saturating_sub(before.as_deref().map_or(0, weigh));
        self.record(shelf, Change { revision: self.revision, namespace: key.0, before, object: object.clone(), deleted: false, weight });
        object
    }

    /// Removes an object under the next revision; the answer is its last state.
    pub(crate) fn remove(&mut self, shelf: ShelfId, key: &Key) -> Option<Arc<Value>> {
        let before = self.shelves[shelf].objects.remove(key)?;
        self.revision += 1;
        let mut last = Value::clone(&before);
        last["metadata"]["resourceVersion"] = json!(self.revision.to_string());
        if let Some(uid) = last.pointer("/metadata/uid").and_then(Value::as_str) {
            self.by_uid.remove(uid);
        }
        let weight = weigh(&last);
        self.weight = self.weight.saturating_sub(weight);
        let object = Arc::new(last);
        let change = Change {
            revision: self.revision,
            namespace: key.0.clone(),
            before: Some(before),
            object: object.clone(),
            deleted: true,
            weight,
        };
        self.record(shelf, change);
        Some(object)
    }

    fn record(&mut self, shelf: ShelfId, change: Change) {
        let shelf = &mut self.shelves[shelf];
        let revision = change.revision;
        shelf.history_weight += change.weight;
        shelf.history.push_back(change);
        while shelf.history.len() > HISTORY_LIMIT || (shelf.history_weight > HISTORY_WEIGHT_LIMIT && shelf.history.len() > 1) {
            if let Some(old) = shelf.history.pop_front() {
                shelf.history_weight -= old.weight;
                shelf.forgotten = old.revision;
            }
        }
        shelf.signal.send_replace(revision);
    }
}

impl Shelf {
    /// What happened after a revision.
    ///
    /// # Errors
    /// It is not known any more.
    pub(crate) fn since(&self, revision: u64) -> Result<Vec<Change>, ApiError> {
        if revision < self.forgotten {
            return Err(ApiError::expired(revision, self.forgotten));
        }
        let from = self.history.partition_point(|change| change.revision <= revision);
        Ok(self.history.range(from..).cloned().collect())
    }

    /// Wakes up when something changes.
    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.signal.subscribe()
    }
}

/// How many values an object has.
fn weigh(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(weigh).sum::<usize>(),
        Value::Object(map) => 1 + map.values().map(weigh).sum::<usize>(),
        Value::String(text) => 1 + text.len() / 64,
        _ => 1,
    }
}
