//! Which Pods a node runs, for the supervisor: it enters a Pod's namespace through the descriptor the node's process keeps.

use std::collections::BTreeMap;
use std::io;

/// Pods by `namespace/name`, and the number of the descriptor of each one's namespace in the node's process.
pub(crate) type Pods = BTreeMap<String, i32>;

/// Writes the whole registry, at once for its reader.
///
/// # Errors
/// It cannot be written.
pub(crate) fn write(node: &str, pods: &Pods) -> io::Result<()> {
    let text = serde_json::to_vec(pods).map_err(io::Error::other)?;
    let temporary = format!("{}.new", file(node));
    std::fs::write(&temporary, text)?;
    std::fs::rename(&temporary, file(node))
}

/// The descriptor of a Pod's namespace in the process of `node`.
pub(crate) fn find(node: &str, pod: &str) -> Option<i32> {
    let text = std::fs::read(file(node)).ok()?;
    serde_json::from_slice::<Pods>(&text).ok()?.get(pod).copied()
}

fn file(node: &str) -> String {
    format!("pods-{node}.json")
}
