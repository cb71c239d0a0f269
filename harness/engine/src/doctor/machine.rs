//! Memory, disk, cgroups and the limits of inotify.

use std::path::Path;

use super::{CLUSTER_DISK_MIB, CLUSTER_MEMORY_MIB, Finding};

/// Memory of a lab of the reference network, in MiB (measured: four side by side take 0.7 GiB).
const LAB_MEMORY_MIB: u64 = 180;
/// What kind's documentation asks for when several clusters run (known issues, "Pod errors due to too many open files").
const INOTIFY: [(&str, u64); 2] = [("max_user_watches", 524_288), ("max_user_instances", 512)];

/// What was read of the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reading {
    /// `MemAvailable`.
    memory_mib: Option<u64>,
    /// Docker's folder, and what is free where it is; why that is not known.
    disk: Result<(String, u64), String>,
    cgroups: Cgroups,
    /// In the order of [`INOTIFY`].
    inotify: [Option<u64>; 2],
}

/// Which cgroup hierarchy is mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cgroups {
    /// Version 2 alone.
    Two,
    /// Version 1, with version 2 beside it.
    Hybrid,
    /// Version 1 alone.
    One,
}

/// Reads it; `docker` is the folder in which Docker keeps what it has.
pub(super) fn read(docker: Option<&str>) -> Reading {
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let number = |name: &str| std::fs::read_to_string(format!("/proc/sys/fs/inotify/{name}")).ok()?.trim().parse().ok();
    let cgroups = if Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
        Cgroups::Two
    } else if Path::new("/sys/fs/cgroup/unified/cgroup.controllers").exists() {
        Cgroups::Hybrid
    } else {
        Cgroups::One
    };
    Reading { memory_mib: available(&meminfo), disk: disk(docker), cgroups, inotify: INOTIFY.map(|(name, _)| number(name)) }
}

/// `MemAvailable` of `/proc/meminfo` in MiB.
fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? / 1024)
}

fn disk(docker: Option<&str>) -> Result<(String, u64), String> {
    let folder = docker.ok_or("Docker does not say where it keeps what it has")?;
    let found = nix::sys::statvfs::statvfs(folder).map_err(|error| format!("{folder}, where Docker keeps what it has: {error}"))?;
    Ok((folder.to_owned(), found.blocks_available().saturating_mul(found.fragment_size()) >> 20))
}

impl Reading {
    pub(super) fn judge(&self) -> Vec<Finding> {
        let mut findings = vec![self.memory(), self.disk(), self.cgroups()];
        findings.extend(INOTIFY.iter().zip(self.inotify).map(|((name, wanted), seen)| inotify(name, *wanted, seen)));
        findings
    }

    fn memory(&self) -> Finding {
        let Some(free) = self.memory_mib else {
            return Finding::unknown("memory", "no MemAvailable in /proc/meminfo", "choosing how many labs run at once", "free -m");
        };
        let seen =
            format!("{free} MiB available: {} clusters of kind or {} labs of refnet", free / CLUSTER_MEMORY_MIB, free / LAB_MEMORY_MIB);
        if free < LAB_MEMORY_MIB {
            return Finding::lacking("memory", seen, "every scenario", "end something that uses memory (ps aux --sort=-rss | head)");
        }
        if free < CLUSTER_MEMORY_MIB {
            let cure = format!("free {} MiB more (ps aux --sort=-rss | head)", CLUSTER_MEMORY_MIB - free);
            return Finding::lacking("memory", seen, "every scenario on kind: a cluster takes about 3 GiB", cure);
        }
        Finding::there("memory", seen)
    }

    fn disk(&self) -> Finding {
        const STOPS: &str = "every scenario on kind: a cluster with its images takes about 7 GB";
        match &self.disk {
            Ok((folder, free)) => {
                let seen = format!("{} GiB free in {folder}: {} clusters of kind", free >> 10, free / CLUSTER_DISK_MIB);
                match free >= &CLUSTER_DISK_MIB {
                    true => Finding::there("disk", seen),
                    false => Finding::lacking("disk", seen, STOPS, "plumb sweep; then see docker system df, and docker system prune"),
                }
            }
            Err(why) => Finding::unknown("disk", why.as_str(), STOPS, "df -h \"$(docker info -f '{{.DockerRootDir}}')\""),
        }
    }

    fn cgroups(&self) -> Finding {
        let seen = match self.cgroups {
            Cgroups::Two => return Finding::there("cgroups", "version 2"),
            Cgroups::Hybrid => "version 1 with version 2 beside it",
            Cgroups::One => "version 1",
        };
        let stops = "Kubernetes 1.35 and newer on kind, which refuses version 1; Cilium's socket load balancing on kind needs version 2";
        Finding::lacking("cgroups", seen, stops, "boot with systemd.unified_cgroup_hierarchy=1")
    }
}

fn inotify(name: &str, wanted: u64, seen: Option<u64>) -> Finding {
    const STOPS: &str = "several kind clusters at once (too many open files)";
    let what = format!("inotify {name}");
    match seen {
        Some(seen) if seen >= wanted => Finding::there(what, seen.to_string()),
        Some(seen) => {
            Finding::lacking(what, format!("{seen}, kind asks for {wanted}"), STOPS, format!("sysctl -w fs.inotify.{name}={wanted}"))
        }
        None => Finding::unknown(what, "it cannot be read", STOPS, format!("sysctl fs.inotify.{name}")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    fn good() -> Reading {
        let disk = Ok(("/var/lib/docker".to_owned(), 40 << 10));
        Reading { memory_mib: Some(24_000), disk, cgroups: Cgroups::Two, inotify: [Some(524_288), Some(1_024)] }
    }

    #[test]
    fn a_good_machine_lacks_nothing() {
        let findings = good().judge();
        assert!(findings.iter().all(|finding| finding.state.is_there()), "{findings:?}");
        assert_eq!(findings[1], Finding::there("disk", "40 GiB free in /var/lib/docker: 5 clusters of kind"));
    }

    #[test]
    fn a_bad_machine_lacks_each_with_its_cure() {
        let disk = Ok(("/var/lib/docker".to_owned(), CLUSTER_DISK_MIB - 1));
        let bad = Reading { memory_mib: Some(1_000), disk, cgroups: Cgroups::Hybrid, inotify: [Some(8_192), Some(128)] };
        let cures: Vec<String> = bad
            .judge()
            .into_iter()
            .map(|finding| match finding.state {
                State::Lacking { cure, .. } => cure,
                other => format!("{other:?}"),
            })
            .collect();
        assert_eq!(
            cures,
            [
                "free 2072 MiB more (ps aux --sort=-rss | head)",
                "plumb sweep; then see docker system df, and docker system prune",
                "boot with systemd.unified_cgroup_hierarchy=1",
                "sysctl -w fs.inotify.max_user_watches=524288",
                "sysctl -w fs.inotify.max_user_instances=512",
            ]
        );
    }

    #[test]
    fn what_cannot_be_read_is_not_called_good_or_bad() {
        let blind = Reading { memory_mib: None, disk: Err("no Docker".into()), cgroups: Cgroups::Two, inotify: [None, None] };
        let unknown = blind.judge().iter().filter(|finding| matches!(finding.state, State::Unknown { .. })).count();
        assert_eq!(unknown, 4);
    }

    #[test]
    fn memory_is_read_in_mebibytes() {
        assert_eq!(available("MemTotal:  2048 kB\nMemAvailable:    1048576 kB\n"), Some(1_024));
        assert_eq!(available("MemTotal:  2048 kB\n"), None);
    }
}
