//! Entry for fuzzing: bytes become requests to a server of their own. Whatever they are, there is an answer and no panic.

use std::sync::{Arc, LazyLock, Mutex, OnceLock};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::handle::handle;
use super::request::Call;
use super::{ApiConfig, ApiServer, Inner};

/// What every input begins with. Making one writes all definitions, which would be nearly all the time of an input; copies share them.
static BEGINNING: LazyLock<Option<ApiServer>> = LazyLock::new(|| {
    let crds = ["gateways", "httproutes", "experimental/tlsroutes"].map(str::to_owned).to_vec();
    ApiServer::new(ApiConfig { crds }).ok()
});

/// Runs requests on a fresh server. Requests are parted by a NUL byte; each is `METHOD target`, header lines, an empty line and a body.
///
/// # Panics
/// When there is no server to ask: a run of nothing would pass.
pub fn fuzz_request(data: &[u8]) {
    let beginning = BEGINNING.as_ref().expect("the definitions named here are known");
    let store = Mutex::new(beginning.inner.lock().apart());
    let stopped = beginning.inner.stopped.child_token();
    let inner = Arc::new(Inner { store, stopped, containers: OnceLock::new(), gate: Arc::default() });
    for one in data.split(|byte| *byte == 0).take(16) {
        if let Some(call) = parse(one) {
            drop(handle(&inner, &call, &inner.stopped));
        }
    }
}

fn parse(data: &[u8]) -> Option<Call> {
    let line_end = data.iter().position(|b| *b == b'\n').unwrap_or(data.len());
    let line = std::str::from_utf8(&data[..line_end]).ok()?;
    let (method, target) = line.trim_end().split_once(' ')?;
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut rest = data.get(line_end + 1..).unwrap_or_default();
    let mut headers = HeaderMap::new();
    while let Some(end) = rest.iter().position(|b| *b == b'\n') {
        let (line, after) = (&rest[..end], &rest[end + 1..]);
        rest = after;
        if line.is_empty() {
            break;
        }
        if let Some(colon) = line.iter().position(|b| *b == b':')
            && let (Ok(name), Ok(value)) = (HeaderName::from_bytes(&line[..colon]), HeaderValue::from_bytes(line[colon + 1..].trim_ascii()))
        {
            headers.append(name, value);
        }
    }
    Call::new(Method::from_bytes(method.as_bytes()).ok()?, path, query, &headers, Bytes::copy_from_slice(rest)).ok()
}
