//! `pods/<name>/log`: the whole log of a container, or its end.

use super::containers::{Container, Containers, Life};
use super::request::Query;
use super::status::ApiError;

/// The text asked for. What cannot be done (`follow`, times) is refused by name, never left out in silence.
pub(crate) fn read(containers: &dyn Containers, container: &Container, query: &Query) -> Result<String, ApiError> {
    for unserved in ["follow", "sinceSeconds", "sinceTime", "stream"] {
        if query.first(unserved).is_some_and(|value| value != "false") {
            return Err(ApiError::not_implemented(format!("the reference network's logs have no {unserved}: the whole log is there")));
        }
    }
    let life = if query.flag("previous") { Life::Previous } else { Life::Current };
    let text = match containers.log(container, life) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && life == Life::Current => String::new(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let Container { pod, name, .. } = container;
            return Err(ApiError::bad_request(format!("previous terminated container {name:?} in pod {pod:?} not found")));
        }
        Err(error) => return Err(ApiError::internal(format!("read the log of {}: {error}", container.name))),
    };
    let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
    if let Some(wanted) = query.number("tailLines")? {
        let over = lines.len().saturating_sub(usize::try_from(wanted).unwrap_or(usize::MAX));
        lines.drain(..over);
    }
    let stamped = query.flag("timestamps");
    let mut shown: String =
        lines.into_iter().map(|line| if stamped { line } else { line.split_once(' ').map_or("", |(_, rest)| rest) }).collect();
    if let Some(limit) = query.number("limitBytes")? {
        let mut end = usize::try_from(limit).unwrap_or(usize::MAX).min(shown.len());
        while !shown.is_char_boundary(end) {
            end -= 1;
        }
        shown.truncate(end);
    }
    Ok(shown)
}
