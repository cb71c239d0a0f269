//! Deleting: preconditions, finalizers, a Pod's grace, and what goes with an object: its dependents, a namespace's content, a
//! definition's objects. The real API's garbage collector and namespace controller do the latter a little later; here it is done at once.

use std::collections::VecDeque;
use std::sync::Arc;

use serde_json::{Value, json};

use super::kinds;
use super::object::{has_finalizers, is_deleting, items, meta, meta_mut, owner_uids, text};
use super::status::{ApiError, Cause};
use super::store::{Key, ShelfId, Store};
use super::write::{Options, Place};

/// The finalizer of an object that waits for its dependents.
const FOREGROUND: &str = "foregroundDeletion";
/// Events are forgotten after an hour, as with the real API's default.
const EVENT_LIFE_SECONDS: i64 = 3600;
/// More Events than this push out the oldest.
const EVENTS_LIMIT: usize = 5000;

/// What a deletion was asked for with.
#[derive(Debug, Clone, Default)]
pub(crate) struct DeleteOptions {
    pub(crate) grace_seconds: Option<i64>,
    pub(crate) propagation: Propagation,
    pub(crate) uid: Option<String>,
    pub(crate) revision: Option<String>,
    pub(crate) dry_run: bool,
}

/// What becomes of dependents.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Propagation {
    #[default]
    Background,
    Foreground,
    Orphan,
}

impl DeleteOptions {
    /// From the body, which may be empty, and the query.
    pub(crate) fn read(body: &Value, query: &super::request::Query, dry_run: bool) -> Result<DeleteOptions, ApiError> {
        if !body.is_null() && !body.is_object() {
            return Err(ApiError::bad_request("DeleteOptions must be a map"));
        }
        let grace = match body.get("gracePeriodSeconds") {
            Some(Value::Null) | None => query.number("gracePeriodSeconds")?.and_then(|n| i64::try_from(n).ok()),
            Some(value) => Some(
                value
                    .as_i64()
                    .filter(|n| *n >= 0)
                    .ok_or_else(|| ApiError::bad_request("gracePeriodSeconds: must be a non-negative integer"))?,
            ),
        };
        let orphan = body.get("orphanDependents") == Some(&Value::Bool(true)) || query.first("orphanDependents") == Some("true");
        let propagation = match body.get("propagationPolicy").and_then(Value::as_str).or(query.first("propagationPolicy")) {
            None | Some("") if orphan => Propagation::Orphan,
            None | Some("" | "Background") => Propagation::Background,
            Some("Foreground") => Propagation::Foreground,
            Some("Orphan") => Propagation::Orphan,
            Some(other) => {
                let supported = ["Foreground", "Background", "Orphan"];
                return Err(ApiError::invalid(
                    "meta.k8s.io",
                    "DeleteOptions",
                    "",
                    vec![Cause::unsupported("propagationPolicy", &json!(other), &supported)],
                ));
            }
        };
        let precondition = |key: &str| body.pointer(&format!("/preconditions/{key}")).and_then(Value::as_str).map(str::to_owned);
        let dry_run = dry_run || items(body, "/dryRun").iter().any(|v| v == "All");
        Ok(DeleteOptions {
            grace_seconds: grace,
            propagation,
            uid: precondition("uid"),
            revision: precondition("resourceVersion"),
            dry_run,
        })
    }
}

/// What came of a deletion.
pub(crate) struct Deleted {
    pub(crate) object: Arc<Value>,
    /// False while finalizers or a grace period keep it.
    pub(crate) gone: bool,
}

impl Store {
    pub(crate) fn delete(&mut self, place: &Place, delete: &DeleteOptions, now: i64) -> Result<Deleted, ApiError> {
        let key = place.key();
        let object = self.get(place.shelf, &key).cloned().ok_or_else(|| place.not_found())?;
        for (what, wanted, actual) in
            [("UID", &delete.uid, meta(&object, "uid")), ("ResourceVersion", &delete.revision, meta(&object, "resourceVersion"))]
        {
            if let Some(wanted) = wanted.as_deref().filter(|w| *w != actual) {
                let why = format!("Precondition failed: {what} in precondition: {wanted}, {what} in object meta: {actual}");
                return Err(ApiError::conflict(&place.kind.group, &place.kind.plural, &place.name, &why));
            }
        }
        let protected = ["default", "kube-system", "kube-public", "kube-node-lease"];
        if place.kind.group.is_empty() && place.kind.kind == "Namespace" && protected.contains(&place.name.as_str()) {
            return Err(ApiError::forbidden("", "namespaces", &place.name, "this namespace may not be deleted"));
        }
        if delete.dry_run {
            let gone = !has_finalizers(&object);
            return Ok(Deleted { object, gone });
        }
        self.begin(place.shelf, &key, delete, now);
        match self.get(place.shelf, &key) {
            Some(left) if meta(left, "uid") == meta(&object, "uid") => Ok(Deleted { object: left.clone(), gone: false }),
            _ => Ok(Deleted { object, gone: true }),
        }
    }

    /// Starts deleting, and finishes whatever can be finished at once. A queue in place of recursion: chains of owners may be long.
    fn begin(&mut self, shelf: ShelfId, key: &Key, delete: &DeleteOptions, now: i64) {
        let mut queue = VecDeque::from([(shelf, key.clone(), delete.clone())]);
        while let Some((shelf, key, delete)) = queue.pop_front() {
            let Some(object) = self.get(shelf, &key).cloned() else { continue };
            let dependents = || self.dependents(meta(&object, "uid"));
            match delete.propagation {
                Propagation::Orphan => {
                    for (shelf, key) in dependents() {
                        self.disown(shelf, &key, meta(&object, "uid"));
                    }
                }
                Propagation::Foreground if !is_deleting(&object) => {
                    let found = dependents();
                    if !found.is_empty() {
                        self.mark(shelf, &key, &object, 0, now, Some(FOREGROUND));
                        let next = DeleteOptions { propagation: Propagation::Foreground, ..DeleteOptions::default() };
                        queue.extend(found.into_iter().map(|(shelf, key)| (shelf, key, next.clone())));
                        continue;
                    }
                }
                Propagation::Foreground | Propagation::Background => {}
            }
            let kind = self.shelves[shelf].kind.clone();
            let (is_pod, is_namespace) = (kind.group.is_empty() && kind.kind == "Pod", kind.group.is_empty() && kind.kind == "Namespace");
            let grace = if is_pod { pod_grace(&object, delete.grace_seconds) } else { 0 };
            if is_namespace && !self.is_empty_namespace(&key.1) {
                self.mark(shelf, &key, &object, 0, now, None);
                let next = DeleteOptions::default();
                queue.extend(self.content(&key.1).into_iter().map(|(shelf, key)| (shelf, key, next.clone())));
            } else if kind.kind == "CustomResourceDefinition" && kind.group == "apiextensions.k8s.io" {
                queue.extend(self.end_definition(&object));
                self.finish(shelf, &key, &mut queue);
            } else if grace > 0 || has_finalizers(&object) {
                self.mark(shelf, &key, &object, grace, now, None);
            } else {
                self.finish(shelf, &key, &mut queue);
            }
        }
    }

    /// Removes an object and queues what goes with it.
    fn finish(&mut self, shelf: ShelfId, key: &Key, queue: &mut VecDeque<(ShelfId, Key, DeleteOptions)>) {
        let Some(last) = self.remove(shelf, key) else { return };
        let uid = meta(&last, "uid").to_owned();
        for (shelf, key) in self.dependents(&uid) {
            let Some(object) = self.get(shelf, &key) else { continue };
            if owner_uids(object).any(|owner| owner != uid && self.by_uid(owner).is_some()) {
                self.disown(shelf, &key, &uid);
            } else {
                queue.push_back((shelf, key, DeleteOptions::default()));
            }
        }
        // An owner that waited for this one.
        for owner in owner_uids(&last) {
            let Some((shelf, key)) = self.by_uid(owner).cloned() else { continue };
            let Some(object) = self.get(shelf, &key).cloned() else { continue };
            if items(&object, "/metadata/finalizers").iter().any(|f| f == FOREGROUND) && self.dependents(owner).is_empty() {
                let mut freed = Value::clone(&object);
                drop_from_list(meta_mut(&mut freed), "finalizers", |f| f == FOREGROUND);
                self.put(shelf, key.clone(), freed);
                queue.push_back((shelf, key, DeleteOptions::default()));
            }
        }
        // A namespace that waited for its last object.
        if !key.0.is_empty() && self.is_empty_namespace(&key.0) {
            let namespace = (String::new(), key.0.clone());
            if let Some(shelf) = self.find("", "namespaces")
                && self.get(shelf, &namespace).is_some_and(|n| is_deleting(n) && !has_finalizers(n))
            {
                self.remove(shelf, &namespace);
            }
        }
    }

    /// Marks an object as being deleted; repeated marks only shorten the grace.
    fn mark(&mut self, shelf: ShelfId, key: &Key, object: &Arc<Value>, grace: i64, now: i64, finalizer: Option<&str>) {
        let known = object.pointer("/metadata/deletionGracePeriodSeconds").and_then(Value::as_i64);
        if is_deleting(object) && known.is_some_and(|known| known <= grace) && finalizer.is_none() {
            return;
        }
        let mut marked = Value::clone(object);
        let generation = marked.pointer("/metadata/generation").and_then(Value::as_i64);
        let metadata = meta_mut(&mut marked);
        metadata.insert("deletionTimestamp".to_owned(), json!(super::rfc3339(now + grace)));
        metadata.insert("deletionGracePeriodSeconds".to_owned(), json!(grace));
        if let (Some(generation), false) = (generation, is_deleting(object)) {
            metadata.insert("generation".to_owned(), json!(generation + 1));
        }
        if let Some(finalizer) = finalizer {
            let list = metadata.entry("finalizers").or_insert_with(|| json!([]));
            if let Some(list) = list.as_array_mut().filter(|list| !list.iter().any(|f| f == finalizer)) {
                list.push(json!(finalizer));
            }
        }
        if marked["kind"] == "Namespace" && marked["apiVersion"] == "v1" {
            marked["status"]["phase"] = json!("Terminating");
        }
        self.put(shelf, key.clone(), marked);
    }

    /// What follows from a write: a deletion that can be finished now, a definition that is served, Events that are too old.
    pub(crate) fn after_write(&mut self, place: &Place, key: &Key, options: &Options) {
        let Some(object) = self.get(place.shelf, key).cloned() else { return };
        let grace = object.pointer("/metadata/deletionGracePeriodSeconds").and_then(Value::as_i64).unwrap_or(0);
        if is_deleting(&object) && !has_finalizers(&object) && grace == 0 {
            self.begin(place.shelf, key, &DeleteOptions { grace_seconds: Some(0), ..DeleteOptions::default() }, 0);
        }
        // Made by a controller that had not heard of it, for owners that are gone or wait for their dependents to go: the garbage collector
        // takes it.
        let waits = owner_uids(&object).any(|owner| self.waits_for_dependents(owner));
        let left_over = owner_uids(&object).next().is_some() && owner_uids(&object).all(|owner| self.by_uid(owner).is_none());
        if !is_deleting(&object) && (waits || left_over) {
            let format = &time::format_description::well_known::Rfc3339;
            let now = time::OffsetDateTime::parse(&options.now, format).map_or(0, time::OffsetDateTime::unix_timestamp);
            self.begin(place.shelf, key, &DeleteOptions { propagation: Propagation::Foreground, ..DeleteOptions::default() }, now);
        }
        match (place.kind.group.as_str(), place.kind.kind.as_str()) {
            ("apiextensions.k8s.io", "CustomResourceDefinition") => self.begin_definition(place.shelf, key, &options.now),
            ("", "Event") => self.forget_events(place.shelf, &options.now),
            _ => {}
        }
    }

    fn waits_for_dependents(&self, uid: &str) -> bool {
        let owner = self.by_uid(uid).and_then(|(shelf, key)| self.get(*shelf, key));
        owner.is_some_and(|owner| is_deleting(owner) && items(owner, "/metadata/finalizers").iter().any(|f| f == FOREGROUND))
    }

    /// Serves what a definition defines, and says so in its status.
    fn begin_definition(&mut self, shelf: ShelfId, key: &Key, now: &str) {
        let Some(definition) = self.get(shelf, key).cloned() else { return };
        if let Some(kind) = kinds::from_definition(&definition) {
            self.serve(kind);
        }
        if definition.pointer("/status/conditions").is_none()
            || definition.pointer("/status/acceptedNames") != definition.pointer("/spec/names")
        {
            let mut established = Value::clone(&definition);
            established["status"] = kinds::established(&definition, now);
            self.put(shelf, key.clone(), established);
        }
    }

    /// Ends what a definition defined; the answer is what is to be deleted with it.
    fn end_definition(&mut self, definition: &Value) -> Vec<(ShelfId, Key, DeleteOptions)> {
        let Some(shelf) = self.find(text(definition, "/spec/group"), text(definition, "/spec/names/plural")) else { return Vec::new() };
        // Nobody can see these objects any more, so their finalizers could never be taken off: they go at once.
        let keys: Vec<Key> = self.shelves[shelf].objects.keys().cloned().collect();
        let mut after = VecDeque::new();
        for key in keys {
            self.finish(shelf, &key, &mut after);
        }
        self.retire(shelf);
        after.into()
    }

    fn forget_events(&mut self, shelf: ShelfId, now: &str) {
        // Now and then is often enough: the limit is what bounds memory.
        if self.shelves[shelf].objects.len() <= EVENTS_LIMIT && !self.revision().is_multiple_of(64) {
            return;
        }
        let seconds = |text: &str| {
            time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339)
                .map_or(0, time::OffsetDateTime::unix_timestamp)
        };
        let oldest = seconds(now) - EVENT_LIFE_SECONDS;
        let mut all: Vec<(u64, i64, Key)> = Vec::new();
        for (key, event) in &self.shelves[shelf].objects {
            all.push((meta(event, "resourceVersion").parse().unwrap_or(0), seconds(meta(event, "creationTimestamp")), key.clone()));
        }
        all.sort();
        let surplus = all.len().saturating_sub(EVENTS_LIMIT);
        for (_, _, key) in all.iter().enumerate().filter(|(i, (_, at, _))| *i < surplus || *at < oldest).map(|(_, event)| event) {
            self.remove(shelf, key);
        }
    }

    fn dependents(&self, uid: &str) -> Vec<(ShelfId, Key)> {
        let mut found = Vec::new();
        for (id, shelf) in self.served() {
            let owned = shelf.objects.iter().filter(|(_, object)| owner_uids(object).any(|owner| owner == uid));
            found.extend(owned.map(|(key, _)| (id, key.clone())));
        }
        found
    }

    fn content(&self, namespace: &str) -> Vec<(ShelfId, Key)> {
        let mut found = Vec::new();
        for (id, shelf) in self.served() {
            found.extend(shelf.objects.keys().filter(|key| key.0 == namespace).map(|key| (id, key.clone())));
        }
        found
    }

    fn disown(&mut self, shelf: ShelfId, key: &Key, uid: &str) {
        let Some(object) = self.get(shelf, key) else { return };
        let mut free = Value::clone(object);
        drop_from_list(meta_mut(&mut free), "ownerReferences", |owner| owner.get("uid").and_then(Value::as_str) == Some(uid));
        self.put(shelf, key.clone(), free);
    }
}

fn drop_from_list(metadata: &mut serde_json::Map<String, Value>, list: &str, goes: impl Fn(&Value) -> bool) {
    if let Some(items) = metadata.get_mut(list).and_then(Value::as_array_mut) {
        items.retain(|item| !goes(item));
        if items.is_empty() {
            metadata.shift_remove(list);
        }
    }
}

/// How long a Pod may take: what was asked, else its own; nothing when no kubelet has it or it has ended.
fn pod_grace(pod: &Value, asked: Option<i64>) -> i64 {
    if text(pod, "/spec/nodeName").is_empty() || matches!(text(pod, "/status/phase"), "Succeeded" | "Failed") {
        return 0;
    }
    asked.unwrap_or_else(|| pod.pointer("/spec/terminationGracePeriodSeconds").and_then(Value::as_i64).unwrap_or(30)).max(0)
}
