//! Looks at this machine: what is there, and of what is not, what that stops and the cure. Changes nothing.

use std::path::Path;
use std::time::Duration;

/// Name of the finding that decides whether anything can run at all.
pub const REFERENCE_NETWORK: &str = "reference network";

/// Memory a suite of labs side by side may take (measured: see the README).
const MEMORY_KB: u64 = 1 << 20;
/// What kind's documentation asks for when several clusters run (known issues, "too many open files").
const INOTIFY: [(&str, u64); 2] = [("max_user_watches", 524_288), ("max_user_instances", 512)];
/// Limit for an answer of Docker.
const DOCKER: Duration = Duration::from_secs(3);

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What.
    pub what: String,
    /// How it is.
    pub state: State,
}

/// How something is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// As it should be; in words.
    There(String),
    /// Not as it should be.
    Lacking {
        /// What was seen.
        seen: String,
        /// What does not work without it.
        stops: String,
        /// The command or setting that cures it.
        cure: String,
    },
}

/// Looks at everything.
pub fn examine() -> Vec<Finding> {
    let mut findings = vec![reference_network(), memory(), cgroups()];
    findings.extend(INOTIFY.iter().map(|(name, wanted)| inotify(name, *wanted)));
    findings.extend([wireguard(), docker()]);
    findings.extend(TOOLS.iter().map(|tool| tool.look()));
    findings
}

fn finding(what: impl Into<String>, state: Result<String, (String, &str, &str)>) -> Finding {
    let state = match state {
        Ok(text) => State::There(text),
        Err((seen, stops, cure)) => State::Lacking { seen, stops: stops.to_owned(), cure: cure.to_owned() },
    };
    Finding { what: what.into(), state }
}

fn reference_network() -> Finding {
    let state = match plumb_refnet::lab::availability() {
        Ok(()) => State::There("namespaces, bridges, vxlan and packet sockets work".into()),
        Err(missing) => State::Lacking { seen: missing.what, stops: "every scenario on refnet".into(), cure: missing.cure },
    };
    Finding { what: REFERENCE_NETWORK.into(), state }
}

fn memory() -> Finding {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let free = text.lines().find_map(|line| line.strip_prefix("MemAvailable:")?.split_whitespace().next()?.parse::<u64>().ok());
    let state = match free {
        Some(free) if free >= MEMORY_KB => Ok(format!("{} MiB available", free / 1024)),
        Some(free) => Err((format!("{} MiB available", free / 1024), "labs side by side", "free some, or give --jobs 1")),
        None => Err(("no MemAvailable in /proc/meminfo".into(), "choosing how many labs run at once", "give --jobs")),
    };
    finding("memory", state)
}

fn cgroups() -> Finding {
    let state = if Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
        Ok("version 2".into())
    } else {
        Err(("version 1 or hybrid".into(), "Cilium's socket load balancing on kind", "boot with systemd.unified_cgroup_hierarchy=1"))
    };
    finding("cgroups", state)
}

fn inotify(name: &str, wanted: u64) -> Finding {
    let seen = std::fs::read_to_string(format!("/proc/sys/fs/inotify/{name}")).ok().and_then(|text| text.trim().parse::<u64>().ok());
    let state = match seen {
        Some(seen) if seen >= wanted => State::There(seen.to_string()),
        seen => State::Lacking {
            seen: seen.map_or_else(|| "unreadable".into(), |seen| seen.to_string()),
            stops: "several kind clusters at once (too many open files)".into(),
            cure: format!("sysctl -w fs.inotify.{name}={wanted}"),
        },
    };
    Finding { what: format!("inotify {name}"), state }
}

fn wireguard() -> Finding {
    let there = Path::new("/sys/module/wireguard").exists();
    let state = if there {
        Ok("the kernel has it".into())
    } else {
        Err(("not in the kernel now".into(), "encryption scenarios on kind (refnet brings its own)", "modprobe wireguard"))
    };
    finding("kernel WireGuard", state)
}

fn docker() -> Finding {
    let state = match docker_version() {
        Ok(text) => Ok(text),
        Err(seen) => Err((seen, "every scenario on kind", "install and start Docker Engine, and join the group docker")),
    };
    finding("Docker", state)
}

fn docker_version() -> Result<String, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
    let ask = async {
        let docker = bollard::Docker::connect_with_defaults()?;
        let docker = docker.negotiate_version().await?;
        let version = docker.version().await?;
        let info = docker.info().await?;
        let text = |value: Option<String>| value.unwrap_or_else(|| "unknown".into());
        Ok::<_, bollard::errors::Error>(format!(
            "engine {}, API {}, storage driver {}",
            text(version.version),
            text(version.api_version),
            text(info.driver)
        ))
    };
    match runtime.block_on(async { tokio::time::timeout(DOCKER, ask).await }) {
        Ok(Ok(text)) => Ok(text),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {} s", DOCKER.as_secs())),
    }
}

/// A program that may be on PATH.
struct Tool {
    name: &'static str,
    stops: &'static str,
    cure: &'static str,
}

const TOOLS: [Tool; 4] = [
    Tool { name: "kubectl", stops: "tests that talk to our API with it", cure: "apt-get install kubernetes-client" },
    Tool { name: "tcpdump", stops: "tests that read our captures with it", cure: "apt-get install tcpdump" },
    Tool { name: "kind", stops: "every scenario on kind", cure: "install kind from its releases" },
    Tool { name: "cilium", stops: "every scenario on kind", cure: "install the cilium CLI from its releases" },
];

impl Tool {
    fn look(&self) -> Finding {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let found = std::env::split_paths(&path).map(|folder| folder.join(self.name)).find(|file| file.is_file());
        let state = match found {
            Some(file) => Ok(file.display().to_string()),
            None => Err(("not on PATH".into(), self.stops, self.cure)),
        };
        finding(self.name, state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_lack_names_what_it_stops_and_its_cure() {
        for finding in examine() {
            if let State::Lacking { seen, stops, cure } = &finding.state {
                assert!(!seen.is_empty() && !stops.is_empty() && !cure.is_empty(), "{finding:?}");
            }
        }
    }
}
