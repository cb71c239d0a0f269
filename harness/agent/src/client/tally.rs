//! Counting answers by what distinguishes them.

use plumb_core::probe::{Failure, FailureClass, HttpOutcome, REVISION_HEADER, TallyRow};
use serde::Deserialize;
use std::borrow::Cow;

/// Rows in the order they first appeared. There are few, so they are looked through.
#[derive(Default)]
pub(super) struct Tally(Vec<TallyRow>);

impl Tally {
    /// Counts one answer.
    pub(super) fn answer(&mut self, status: u16, backend: Option<&str>, marker: Option<&str>) {
        self.count(Some(status), backend, marker, None);
    }

    /// Counts one failure.
    pub(super) fn failure(&mut self, class: FailureClass) {
        self.count(None, None, None, Some(class));
    }

    fn count(&mut self, status: Option<u16>, backend: Option<&str>, marker: Option<&str>, failure: Option<FailureClass>) {
        let same = |row: &&mut TallyRow| {
            row.status == status && row.failure == failure && row.backend.as_deref() == backend && row.marker.as_deref() == marker
        };
        if let Some(row) = self.0.iter_mut().find(same) {
            row.count += 1;
            return;
        }
        let (backend, marker) = (backend.map(Into::into), marker.map(Into::into));
        self.0.push(TallyRow { status, backend, marker, failure, count: 1 });
    }

    pub(super) fn into_rows(self) -> Vec<TallyRow> {
        self.0
    }
}

/// The part of an echo a tally needs, borrowed from the body.
#[derive(Deserialize)]
pub(super) struct EchoBrief<'a> {
    #[serde(borrow)]
    pub(super) backend: Cow<'a, str>,
    #[serde(borrow)]
    seen: SeenBrief<'a>,
}

#[derive(Deserialize)]
struct SeenBrief<'a> {
    #[serde(borrow)]
    headers: HeadersBrief<'a>,
}

#[derive(Deserialize)]
struct HeadersBrief<'a> {
    // `REVISION_HEADER`; a test keeps the two the same.
    #[serde(borrow, default, rename = "x-plumb-revision")]
    revision: Option<Cow<'a, str>>,
}

impl<'a> EchoBrief<'a> {
    /// Reads it; `None` where the body is no echo.
    pub(super) fn of(body: &'a [u8]) -> Option<Self> {
        if body.first() != Some(&b'{') {
            return None;
        }
        serde_json::from_slice(body).ok()
    }

    /// The route revision as the backend saw it.
    pub(super) fn marker(&self) -> Option<&str> {
        self.seen.headers.revision.as_deref()
    }
}

/// The route revision a response carries.
pub(super) fn marker_of(headers: &http::HeaderMap) -> Option<&str> {
    headers.get(REVISION_HEADER).and_then(|value| value.to_str().ok())
}

/// The failure of an outcome, if it is one.
pub(super) fn failed(outcome: &HttpOutcome) -> Option<&Failure> {
    match outcome {
        HttpOutcome::Answer(_) => None,
        HttpOutcome::Failed(failure) => Some(failure),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn answers_that_differ_in_anything_are_counted_apart() {
        let mut tally = Tally::default();
        tally.answer(200, Some("a"), None);
        tally.answer(200, Some("a"), None);
        tally.answer(200, Some("a"), Some("2"));
        tally.answer(503, None, None);
        tally.failure(FailureClass::Timeout);
        assert_eq!(tally.into_rows().iter().map(|row| row.count).collect::<Vec<_>>(), [2, 1, 1, 1]);
    }

    #[test]
    fn backend_and_marker_are_found_in_an_echo() {
        let body = format!(r#"{{"backend":"b\u0031","pod":"p","seen":{{"headers":{{"host":"h","{REVISION_HEADER}":"7"}},"tls":null}}}}"#);
        let brief = EchoBrief::of(body.as_bytes()).unwrap();
        assert_eq!((brief.backend.as_ref(), brief.marker()), ("b1", Some("7")));
        assert!(EchoBrief::of(b"<html>").is_none());
    }
}
