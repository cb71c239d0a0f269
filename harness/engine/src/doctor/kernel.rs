//! What Cilium, and what breaks something around it, asks of the kernel: found in `/sys/module`, in the kernel's own configuration and in the lists of its modules; where none
//! of them tells, and only then, WireGuard is tried in a network namespace of its own.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};

use super::Finding;

/// Something that is asked for (by Cilium: its system requirements, "Linux Kernel").
struct Feature {
    what: &'static str,
    /// Options of the kernel's configuration, all of them needed.
    options: &'static [&'static str],
    /// The module that has it; empty where it is never one.
    module: &'static str,
    stops: &'static str,
}

const BPF: Feature = Feature {
    what: "kernel BPF",
    options: &["BPF_SYSCALL", "BPF_JIT", "NET_CLS_BPF", "NET_CLS_ACT", "NET_SCH_INGRESS", "CGROUP_BPF", "PERF_EVENTS"],
    module: "",
    stops: "every scenario on kind: Cilium is made of it",
};
const WIREGUARD: Feature = Feature {
    what: "kernel WireGuard",
    options: &["WIREGUARD"],
    module: "wireguard",
    stops: "encryption scenarios on kind (refnet brings its own WireGuard)",
};
const REST: [Feature; 6] = [
    Feature { what: "kernel vxlan", options: &["VXLAN"], module: "vxlan", stops: "profiles on kind that tunnel, Cilium's default" },
    Feature {
        what: "kernel TPROXY",
        options: &["NETFILTER_XT_TARGET_TPROXY"],
        module: "xt_TPROXY",
        stops: "Gateways and L7 policies on kind without bpf.tproxy",
    },
    Feature {
        what: "kernel xt_socket",
        options: &["NETFILTER_XT_MATCH_SOCKET"],
        module: "xt_socket",
        stops: "Gateways and L7 policies on kind without bpf.tproxy",
    },
    Feature {
        what: "kernel ipset",
        options: &["IP_SET", "IP_SET_HASH_IP", "NETFILTER_XT_SET"],
        module: "ip_set_hash_ip",
        stops: "masquerading by iptables on kind, Cilium's default",
    },
    Feature {
        what: "kernel nf_tables",
        options: &["NF_TABLES", "NF_TABLES_INET"],
        module: "nf_tables",
        stops: "scenarios that cut a node off from an address, on kind and on refnet",
    },
    Feature { what: "kernel ESP", options: &["INET_ESP", "XFRM_USER"], module: "esp4", stops: "the profile ipsec on kind" },
];

/// What was read of the kernel.
#[derive(Debug, Clone, Default)]
pub(super) struct Reading {
    release: String,
    /// Where its configuration was, and what it says.
    config: Option<(String, String)>,
    /// Names in `/sys/module`.
    loaded: BTreeSet<String>,
    /// Names in `modules.builtin` and `modules.dep`; `None` where there is no such file.
    listed: Option<BTreeSet<String>>,
    /// What came of making a WireGuard link, where nothing else tells.
    tried: Option<Result<(), String>>,
    /// Whether `/sys/fs/bpf` is there for a BPF file system.
    bpf_place: bool,
}

/// Whether the kernel has something, and how that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Has {
    Yes(String),
    No(String),
    NotTold,
}

/// Reads it.
pub(super) fn read() -> Reading {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned();
    let folder = format!("/lib/modules/{release}");
    let names = std::fs::read_dir("/sys/module").into_iter().flatten();
    let loaded = names.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    let lists = ["modules.builtin", "modules.dep"].map(|name| std::fs::read_to_string(format!("{folder}/{name}")).ok());
    let listed = lists.iter().any(Option::is_some).then(|| lists.iter().flatten().flat_map(|text| modules(text)).collect());
    let mut reading =
        Reading { config: config(&release), release, loaded, listed, tried: None, bpf_place: Path::new("/sys/fs/bpf").is_dir() };
    if reading.has(&WIREGUARD) == Has::NotTold {
        reading.tried = Some(try_wireguard());
    }
    reading
}

fn config(release: &str) -> Option<(String, String)> {
    let packed = "/proc/config.gz";
    if let Ok(file) = std::fs::File::open(packed) {
        let mut text = String::new();
        if flate2::read::GzDecoder::new(file).read_to_string(&mut text).is_ok() {
            return Some((packed.to_owned(), text));
        }
    }
    let places = [format!("/boot/config-{release}"), format!("/lib/modules/{release}/config")];
    places.into_iter().find_map(|place| Some((place.clone(), std::fs::read_to_string(&place).ok()?)))
}

/// Names of modules in `modules.builtin` or `modules.dep`, as `/sys/module` writes them.
fn modules(text: &str) -> impl Iterator<Item = String> + '_ {
    text.lines().filter_map(|line| {
        let path = line.split(':').next()?;
        let file = path.rsplit('/').next()?;
        Some(file.split(".ko").next()?.replace('-', "_"))
    })
}

/// Makes a WireGuard link in a network namespace that ends with the command.
fn try_wireguard() -> Result<(), String> {
    let command = ["--user", "--map-root-user", "--net", "ip", "link", "add", "plumb0", "type", "wireguard"];
    let output = Command::new("unshare").args(command).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("unshare: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(said.trim().lines().last().unwrap_or("it failed without a word").to_owned()) }
}

impl Reading {
    pub(super) fn judge(&self) -> Vec<Finding> {
        let mut findings = vec![self.bpf(), self.wireguard()];
        findings.extend(REST.iter().map(|feature| self.feature(feature)));
        findings
    }

    fn bpf(&self) -> Finding {
        if self.bpf_place {
            return self.feature(&BPF);
        }
        Finding::lacking(BPF.what, "there is no /sys/fs/bpf", BPF.stops, "boot a kernel with CONFIG_BPF_SYSCALL, with /sys mounted")
    }

    fn wireguard(&self) -> Finding {
        match &self.tried {
            None => self.feature(&WIREGUARD),
            Some(Ok(())) => Finding::there(WIREGUARD.what, "a link could be made in a network namespace"),
            Some(Err(why)) => {
                let seen = format!("a link could not be made in a network namespace: {why}");
                Finding::unknown(WIREGUARD.what, seen, WIREGUARD.stops, "sudo modprobe wireguard && ls /sys/module/wireguard")
            }
        }
    }

    fn feature(&self, feature: &Feature) -> Finding {
        match self.has(feature) {
            Has::Yes(how) => Finding::there(feature.what, how),
            Has::No(how) => Finding::lacking(feature.what, how, feature.stops, self.cure(feature)),
            Has::NotTold => {
                let seen = "neither /sys/module nor a kernel configuration nor /lib/modules tells";
                let ask = match feature.module {
                    "" => format!("grep CONFIG_{}= /boot/config-$(uname -r)", feature.options[0]),
                    module => format!("sudo modprobe {module}"),
                };
                Finding::unknown(feature.what, seen, feature.stops, ask)
            }
        }
    }

    fn has(&self, feature: &Feature) -> Has {
        let module = feature.module;
        let loaded = || Has::Yes(format!("in /sys/module/{module}"));
        let is_loaded = !module.is_empty() && self.loaded.contains(module);
        // What is more than its module is told by the configuration, where there is one.
        if is_loaded && (feature.options.len() == 1 || self.config.is_none()) {
            return loaded();
        }
        let Some((place, text)) = &self.config else {
            return match &self.listed {
                Some(listed) if !module.is_empty() => match listed.contains(module) {
                    true => Has::Yes(format!("a module in /lib/modules/{}", self.release)),
                    false => Has::No(format!("no module {module} in /lib/modules/{}", self.release)),
                },
                _ => Has::NotTold,
            };
        };
        let value = |option: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix("CONFIG_")?.strip_prefix(option)?.strip_prefix('='));
            line.unwrap_or("n").trim().to_owned()
        };
        let values: Vec<(&str, String)> = feature.options.iter().map(|option| (*option, value(option))).collect();
        if let Some((option, _)) = values.iter().find(|(_, value)| value == "n") {
            return Has::No(format!("CONFIG_{option} is not set in {place}"));
        }
        if is_loaded {
            return loaded();
        }
        let as_module = values.iter().any(|(_, value)| value == "m") && !module.is_empty();
        if as_module && !self.listed.as_ref().is_some_and(|listed| listed.contains(module)) {
            return Has::No(format!("a module by {place}, and there is none in /lib/modules/{}", self.release));
        }
        let form = if as_module { "a module" } else { "built in" };
        Has::Yes(format!("{form} (CONFIG_{} in {place})", feature.options.join(", CONFIG_")))
    }

    fn cure(&self, feature: &Feature) -> String {
        let wanted = feature.options.join(", CONFIG_");
        let unset = |(_, text): &(String, String)| {
            feature
                .options
                .iter()
                .any(|option| !text.lines().any(|line| line == format!("CONFIG_{option}=m") || line == format!("CONFIG_{option}=y")))
        };
        match self.config.as_ref().is_some_and(unset) {
            true => format!("boot a kernel with CONFIG_{wanted}"),
            false => format!(
                "install the modules of this kernel (apt-get install linux-modules-extra-{0}, on Debian linux-image-{0})",
                self.release
            ),
        }
    }
}

#[cfg(test)]
#[path = "kernel_tests.rs"]
mod tests;
