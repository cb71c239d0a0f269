//! Creating and updating: the rules of the API for metadata, versions, generations, subresources and field ownership. Everything here
//! runs under the store's one lock, so a compare and its swap cannot be parted.

use std::sync::Arc;

use serde_json::{Value, json};

use super::admit;
use super::apply::{Manager, Ownership};
use super::kinds::{Kind, Version};
use super::object::{meta, meta_mut, new_uid};
use super::request::FieldValidation;
use super::rules::{
    check_metadata, decode, envelope, given_ownership, keep_metadata, keep_separate, same_content, set_ownership, spec_changed, to_storage,
};
use super::status::{ApiError, Cause};
use super::store::{Key, ShelfId, Store};

/// What a request is about, resolved.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) shelf: ShelfId,
    pub(crate) kind: Arc<Kind>,
    pub(crate) version: String,
    /// Empty for cluster scope.
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// Empty, or `status`.
    pub(crate) subresource: &'static str,
}

impl Place {
    pub(crate) fn key(&self) -> Key {
        (self.namespace.clone(), self.name.clone())
    }

    pub(crate) fn api_version(&self) -> String {
        self.kind.api_version(&self.version)
    }

    pub(crate) fn version(&self) -> &Version {
        self.kind.version(&self.version).unwrap_or_else(|| self.kind.storage())
    }

    pub(crate) fn not_found(&self) -> ApiError {
        ApiError::not_found(&self.kind.group, &self.kind.plural, &self.name)
    }

    pub(crate) fn invalid(&self, causes: Vec<Cause>) -> ApiError {
        ApiError::invalid(&self.kind.group, &self.kind.kind, &self.name, causes)
    }
}

/// How a write is to be done.
pub(crate) struct Options {
    pub(crate) manager: String,
    pub(crate) validation: FieldValidation,
    pub(crate) dry_run: bool,
    /// RFC 3339, whole seconds.
    pub(crate) now: String,
    /// What is to be said besides the answer.
    pub(crate) warnings: Vec<String>,
}

impl Options {
    /// The writer, for managedFields.
    pub(crate) fn manager<'a>(&'a self, place: &'a Place, operation: &'static str, api_version: &'a str) -> Manager<'a> {
        Manager { name: &self.manager, operation, api_version, subresource: place.subresource, time: &self.now }
    }
}

/// Whether something came of a write.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Written {
    pub(crate) object: Arc<Value>,
    pub(crate) created: bool,
}

/// Which operation a change came by.
pub(crate) enum How {
    Update,
    /// With the ownership that `apply` worked out.
    Apply(Ownership),
}

impl Store {
    pub(crate) fn create(&mut self, place: &Place, object: Value, how: How, options: &mut Options) -> Result<Written, ApiError> {
        self.has_room()?;
        let mut place = place.clone();
        let mut object = object;
        envelope(&place, &object)?;
        decode(&place, &mut object, options)?;
        if !meta(&object, "resourceVersion").is_empty() {
            return Err(ApiError::bad_request("resourceVersion should not be set on objects to be created"));
        }
        self.check_namespace(&place)?;
        place.name = self.choose_name(&place, &object)?;
        let key = place.key();
        if self.get(place.shelf, &key).is_some() {
            return Err(ApiError::already_exists(&place.kind.group, &place.kind.plural, &place.name));
        }
        let metadata = meta_mut(&mut object);
        for system in ["selfLink", "deletionTimestamp", "deletionGracePeriodSeconds", "managedFields", "generation"] {
            metadata.shift_remove(system);
        }
        metadata.insert("name".to_owned(), json!(place.name));
        if place.kind.namespaced {
            metadata.insert("namespace".to_owned(), json!(place.namespace));
        } else {
            metadata.shift_remove("namespace");
        }
        metadata.insert("uid".to_owned(), json!(new_uid(&ring::rand::SystemRandom::new())));
        metadata.insert("creationTimestamp".to_owned(), json!(options.now));
        if place.kind.generation {
            metadata.insert("generation".to_owned(), json!(1));
        }
        if place.kind.status
            && place.kind.kind != "Node"
            && let Some(map) = object.as_object_mut()
        {
            map.shift_remove("status");
        }
        admit::complete(&place.kind, &mut object, None);
        self.allocate(&place, &mut object, None)?;
        check_metadata(&place, &object, None).and_then(|()| self.validate(&place, &object, None))?;
        let ownership = match how {
            How::Apply(ownership) => ownership,
            How::Update => {
                let mut ownership = Ownership::default();
                let api_version = place.api_version();
                let manager = options.manager(&place, "Update", &api_version);
                ownership.updated(place.version().schema(), &manager, &json!({}), &object);
                ownership
            }
        };
        set_ownership(&mut object, &ownership);
        to_storage(&place.kind, &mut object);
        if options.dry_run {
            return Ok(Written { object: Arc::new(object), created: true });
        }
        let object = self.put(place.shelf, key.clone(), object);
        self.after_write(&place, &key, options);
        Ok(Written { object, created: true })
    }

    /// Brings `new` (in the request's version) in place of `old` (as stored).
    pub(crate) fn update(
        &mut self,
        place: &Place,
        old: &Arc<Value>,
        new: Value,
        how: How,
        options: &mut Options,
    ) -> Result<Written, ApiError> {
        let mut new = new;
        envelope(place, &new)?;
        decode(place, &mut new, options)?;
        let wanted = meta(&new, "resourceVersion");
        if !wanted.is_empty() && wanted != meta(old, "resourceVersion") {
            let why = "the object has been modified; please apply your changes to the latest version and try again";
            return Err(ApiError::conflict(&place.kind.group, &place.kind.plural, &place.name, why));
        }
        let uid = meta(&new, "uid");
        if !uid.is_empty() && uid != meta(old, "uid") {
            let why = format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {}", meta(old, "uid"));
            return Err(ApiError::conflict(&place.kind.group, &place.kind.plural, &place.name, &why));
        }
        let mut before = Value::clone(old);
        before["apiVersion"] = json!(place.api_version());
        keep_separate(place, &before, &mut new);
        keep_metadata(place, &before, &mut new);
        admit::complete(&place.kind, &mut new, Some(&before));
        self.allocate(place, &mut new, Some(&before))?;
        check_metadata(place, &new, Some(&before)).and_then(|()| self.validate(place, &new, Some(&before)))?;

        let content_same = same_content(&before, &new);
        let ownership = match how {
            How::Apply(ownership) => ownership,
            How::Update => {
                let mut ownership = given_ownership(&new).unwrap_or_else(|| Ownership::read(&before));
                if !content_same {
                    let api_version = place.api_version();
                    ownership.updated(place.version().schema(), &options.manager(place, "Update", &api_version), &before, &new);
                }
                ownership
            }
        };
        if content_same && ownership.same_fields(&Ownership::read(&before)) {
            return Ok(Written { object: old.clone(), created: false });
        }
        set_ownership(&mut new, &ownership);
        if place.kind.generation && spec_changed(&before, &new) {
            let generation = before.pointer("/metadata/generation").and_then(Value::as_i64).unwrap_or(0);
            meta_mut(&mut new).insert("generation".to_owned(), json!(generation + 1));
        }
        to_storage(&place.kind, &mut new);
        if options.dry_run {
            return Ok(Written { object: Arc::new(new), created: false });
        }
        self.has_room()?;
        let key = place.key();
        let object = self.put(place.shelf, key.clone(), new);
        self.after_write(place, &key, options);
        Ok(Written { object, created: false })
    }
}

impl Store {
    /// Puts in what is there from the start, by the same rules as everything else.
    pub(crate) fn seed(&mut self, plural: &str, objects: impl IntoIterator<Item = Value>, now: &str) {
        let Some((shelf, kind)) = self.served().find(|(_, s)| s.kind.plural == plural).map(|(id, s)| (id, s.kind.clone())) else { return };
        let place =
            Place { shelf, version: kind.storage().name.clone(), kind, namespace: String::new(), name: String::new(), subresource: "" };
        for object in objects {
            let name = meta(&object, "name").to_owned();
            let mut object = object;
            let metadata = meta_mut(&mut object);
            metadata.insert("uid".to_owned(), json!(new_uid(&ring::rand::SystemRandom::new())));
            metadata.insert("creationTimestamp".to_owned(), json!(now));
            if place.kind.generation {
                metadata.insert("generation".to_owned(), json!(1));
            }
            admit::complete(&place.kind, &mut object, None);
            self.put(place.shelf, (String::new(), name), object);
        }
    }

    /// The namespace must exist, and not be on its way out.
    fn check_namespace(&self, place: &Place) -> Result<(), ApiError> {
        if !place.kind.namespaced {
            return Ok(());
        }
        let Some(namespace) = self.core("namespaces").objects.get(&(String::new(), place.namespace.clone())) else {
            return Err(ApiError::not_found("", "namespaces", &place.namespace));
        };
        if super::object::is_deleting(namespace) {
            let why = format!("unable to create new content in namespace {} because it is being terminated", place.namespace);
            return Err(ApiError::forbidden(&place.kind.group, &place.kind.plural, &place.name, &why));
        }
        Ok(())
    }

    /// The path's name, the object's, or a free one that starts with `generateName`.
    fn choose_name(&self, place: &Place, object: &Value) -> Result<String, ApiError> {
        let given = meta(object, "name");
        if !place.name.is_empty() && !given.is_empty() && given != place.name {
            let message = format!("the name of the object ({given}) does not match the name on the URL ({})", place.name);
            return Err(ApiError::bad_request(message));
        }
        let name = if given.is_empty() { place.name.as_str() } else { given };
        let prefix = meta(object, "generateName");
        match (name.is_empty(), prefix.is_empty()) {
            (false, _) => Ok(name.to_owned()),
            (true, true) => Err(place.invalid(vec![Cause::required("metadata.name", "name or generateName is required")])),
            (true, false) => {
                let prefix: String = prefix.chars().take(58).collect();
                let fresh = || {
                    let uid = new_uid(&ring::rand::SystemRandom::new());
                    format!("{prefix}{}", &uid[..5])
                };
                let free = (0..8).map(|_| fresh()).find(|name| self.get(place.shelf, &(place.namespace.clone(), name.clone())).is_none());
                free.ok_or_else(|| ApiError::already_exists(&place.kind.group, &place.kind.plural, &prefix))
            }
        }
    }

    fn validate(&self, place: &Place, object: &Value, old: Option<&Value>) -> Result<(), ApiError> {
        let causes = if place.subresource.is_empty() { admit::validate(&place.kind, object, old) } else { Vec::new() };
        if causes.is_empty() { Ok(()) } else { Err(place.invalid(causes)) }
    }

    /// Gives a Service its cluster address, as the real API does on creation.
    fn allocate(&self, place: &Place, object: &mut Value, old: Option<&Value>) -> Result<(), ApiError> {
        if place.kind.kind != "Service" || !place.kind.group.is_empty() || !place.subresource.is_empty() {
            return Ok(());
        }
        let services = &self.core("services").objects;
        let taken = services
            .iter()
            .filter(|(key, _)| **key != place.key())
            .filter_map(|(_, service)| service.pointer("/spec/clusterIP").and_then(Value::as_str)?.parse().ok());
        admit::cluster_address(object, old, &taken.collect()).map_err(|causes| place.invalid(causes))
    }
}
