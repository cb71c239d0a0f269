//! Whether this machine can hold a lab: really tried, in a child that is this program again, so that nothing of it is left.

use std::process::{Command, Stdio};

/// What is missing, and what to change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct Unavailable {
    /// What does not work here, and what the kernel said.
    pub what: String,
    /// The setting to change.
    pub cure: String,
}

/// Tries everything a lab needs of the kernel: namespaces, veth, bridge, vxlan, packet sockets. Takes some milliseconds. The
/// program must hand `__refnet` to [`crate::supervisor::main`], as every one that starts labs does.
///
/// # Errors
/// The first thing that is missing.
pub fn availability() -> Result<(), Unavailable> {
    let broken = |what: String| Unavailable { what, cure: "run this program where it may start itself from /proc/self/exe".to_owned() };
    let output = Command::new("/proc/self/exe")
        .args(["__refnet", crate::supervisor::PROBE])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| broken(format!("the program cannot start itself: {error}")))?;
    let said = String::from_utf8_lossy(&output.stdout);
    if output.status.success() && said.trim() == crate::supervisor::PROBE_OK {
        return Ok(());
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    let what = complaint.trim().lines().last().unwrap_or("the trial run ended without a word").to_owned();
    Err(Unavailable { cure: cure(&what), what })
}

/// The setting that decides, read where the kernel keeps it.
fn cure(what: &str) -> String {
    let setting = |name: &str| std::fs::read_to_string(format!("/proc/sys/{}", name.replace('.', "/"))).unwrap_or_default();
    if what.contains("user namespace") || what.contains("permitted") || what.contains("Permission") {
        if setting("kernel.unprivileged_userns_clone").trim() == "0" {
            return "sysctl -w kernel.unprivileged_userns_clone=1".to_owned();
        }
        if setting("kernel.apparmor_restrict_unprivileged_userns").trim() == "1" {
            return "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, or run as root".to_owned();
        }
        if setting("user.max_user_namespaces").trim() == "0" {
            return "sysctl -w user.max_user_namespaces=10000".to_owned();
        }
        return "allow user namespaces (a container needs a seccomp profile that does, such as --security-opt seccomp=unconfined), or run \
                as root"
            .to_owned();
    }
    if setting("user.max_net_namespaces").trim() == "0" {
        return "sysctl -w user.max_net_namespaces=10000".to_owned();
    }
    "use a kernel with veth, bridge and vxlan (CONFIG_VETH, CONFIG_BRIDGE, CONFIG_VXLAN, CONFIG_PACKET), or load their modules".to_owned()
}
