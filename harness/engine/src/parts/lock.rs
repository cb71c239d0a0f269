//! `parts.lock`: what is fetched and what it must be, and which versions go together. Compiled in; nothing is read at run time.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use plumb_core::values::Values;
use plumb_core::version::{Range, Version};
use serde_json::Value;

/// The text of the file.
const TEXT: &str = include_str!("../../parts.lock");

/// A program as a release publishes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Program {
    /// `kind`, `cilium`.
    pub name: String,
    /// `v0.29.0`.
    pub version: String,
    /// `linux/amd64`.
    pub platform: String,
    /// SHA-256 of what is downloaded, lower-case hex.
    pub sha256: String,
}

/// What the file says.
#[derive(Debug, Default)]
pub(super) struct Lock {
    programs: Vec<Program>,
    clis: Vec<Cli>,
    kubernetes: Vec<(Range, Range)>,
    nodes: Vec<Node>,
    /// Values of a chart that name its images, by version.
    images: BTreeMap<String, Values>,
}

#[derive(Debug)]
struct Cli {
    cilium: Range,
    fetched: String,
    as_good: Range,
}

#[derive(Debug)]
struct Node {
    kind: Version,
    kubernetes: Version,
    /// `v1.30.13@sha256:...`.
    image: String,
}

impl Lock {
    /// The file of this program.
    pub(super) fn own() -> &'static Lock {
        static LOCK: OnceLock<Lock> = OnceLock::new();
        LOCK.get_or_init(|| Lock::parse(TEXT).expect("a test reads every line of parts.lock"))
    }

    pub(super) fn parse(text: &str) -> Result<Lock, String> {
        let mut lock = Lock::default();
        for (n, line) in text.lines().enumerate() {
            let words: Vec<&str> = line.split_whitespace().collect();
            if words.is_empty() || words[0].starts_with('#') {
                continue;
            }
            lock.line(&words).map_err(|problem| format!("line {}: {problem}", n + 1))?;
        }
        Ok(lock)
    }

    fn line(&mut self, words: &[&str]) -> Result<(), String> {
        let version = |text: &str| Version::parse(text).map_err(|bad| bad.to_string());
        let range = |text: &str| Range::parse(text).map_err(|bad| bad.to_string());
        match words {
            ["program", name, release, platform, sha256] => {
                version(release)?;
                let own = |text: &str| text.to_owned();
                let program = Program { name: own(name), version: own(release), platform: own(platform), sha256: own(digest(sha256)?) };
                self.programs.push(program);
            }
            ["cli", cilium, fetched, as_good] => {
                version(fetched)?;
                self.clis.push(Cli { cilium: range(cilium)?, fetched: (*fetched).to_owned(), as_good: range(as_good)? });
            }
            ["kubernetes", cilium, kubernetes] => self.kubernetes.push((range(cilium)?, range(kubernetes)?)),
            ["node", kind, kubernetes, sum] => {
                digest(sum.strip_prefix("sha256:").unwrap_or_default())?;
                self.nodes.push(Node {
                    kind: version(kind)?,
                    kubernetes: version(kubernetes)?,
                    image: format!("kindest/node:{kubernetes}@{sum}"),
                });
            }
            ["image", cilium, role, image, sum] => {
                version(cilium)?;
                let key = match *role {
                    "agent" => "image",
                    "operator" => "operator.image",
                    "envoy" => "envoy.image",
                    other => return Err(format!("`{other}` is no image of every flag set")),
                };
                let digest_key = if *role == "operator" { "genericDigest" } else { "digest" };
                digest(sum.strip_prefix("sha256:").unwrap_or_default())?;
                let (repository, tag) = image.rsplit_once(':').ok_or_else(|| format!("`{image}` has no tag"))?;
                let values = self.images.entry((*cilium).to_owned()).or_default();
                for (name, value) in [("repository", repository), ("tag", tag), (digest_key, sum)] {
                    values.insert(format!("{key}.{name}"), Value::from(value));
                }
            }
            _ => return Err(format!("`{}` is no line of this file", words.join(" "))),
        }
        Ok(())
    }

    /// A program for a platform.
    pub(super) fn program(&self, name: &str, version: &str, platform: &str) -> Option<&Program> {
        self.programs.iter().find(|program| program.name == name && program.version == version && program.platform == platform)
    }

    /// The CLI to fetch for a version of Cilium, and whether another is as good.
    pub(super) fn cli(&self, cilium: Version) -> Option<(&str, &Range)> {
        let cli = self.clis.iter().find(|cli| cli.cilium.holds(cilium))?;
        Some((&cli.fetched, &cli.as_good))
    }

    /// Every CLI that may be fetched, and which others are as good, the newest first.
    pub(super) fn clis(&self) -> impl Iterator<Item = (&str, &Range)> {
        self.clis.iter().rev().map(|cli| (cli.fetched.as_str(), &cli.as_good))
    }

    /// The values of a chart that name its images.
    pub(super) fn images(&self, cilium: &str) -> Option<&Values> {
        self.images.get(cilium.strip_prefix('v').unwrap_or(cilium))
    }

    /// Versions whose images are known.
    pub(super) fn versions_with_images(&self) -> Vec<&str> {
        self.images.keys().map(String::as_str).collect()
    }

    /// The kind to fetch.
    pub(super) fn kind(&self) -> Option<&str> {
        self.programs.iter().find(|program| program.name == "kind").map(|program| program.version.as_str())
    }

    /// Whether node images of a kind are known.
    pub(super) fn knows_kind(&self, kind: Version) -> bool {
        self.nodes.iter().any(|node| node.kind == kind)
    }

    /// The node image of a kind with the newest Kubernetes that all these versions of Cilium are tested with.
    pub(super) fn node_image(&self, kind: Version, cilium: &[Version]) -> Option<&str> {
        let tested = |kubernetes: Version| {
            cilium.iter().all(|cilium| self.kubernetes.iter().any(|(of, range)| of.holds(*cilium) && range.holds(kubernetes)))
        };
        let nodes = self.nodes.iter().filter(|node| node.kind == kind && tested(node.kubernetes));
        nodes.max_by_key(|node| node.kubernetes).map(|node| node.image.as_str())
    }
}

fn digest(text: &str) -> Result<&str, String> {
    let good = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    if good { Ok(text) } else { Err(format!("`{text}` is no SHA-256 in lower-case hex")) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn v(text: &str) -> Version {
        Version::parse(text).unwrap()
    }

    #[test]
    fn every_program_that_may_be_fetched_is_pinned_for_both_platforms() {
        let lock = Lock::parse(TEXT).unwrap();
        for platform in ["linux/amd64", "linux/arm64"] {
            assert!(lock.program("kind", lock.kind().unwrap(), platform).is_some(), "kind {platform}");
            for cilium in ["1.16.2", "1.17.1", "1.17.14", "1.18.0", "1.20.0", "1.21.3"] {
                let (cli, as_good) = lock.cli(v(cilium)).unwrap();
                assert!(lock.program("cilium", cli, platform).is_some(), "{cli} for {cilium} {platform}");
                assert!(as_good.holds(v(cli)), "what is fetched for {cilium} is good enough for it");
            }
        }
        assert!(lock.cli(v("1.14.0")).is_none());
        assert!(lock.knows_kind(v(lock.kind().unwrap())));
    }

    #[test]
    fn a_node_image_is_one_all_versions_are_tested_with() {
        let image = |kind: &str, cilium: &[&str]| {
            let versions: Vec<Version> = cilium.iter().map(|text| v(text)).collect();
            Lock::own().node_image(v(kind), &versions).map(|image| image.split('@').next().unwrap().to_owned())
        };
        assert_eq!(image("v0.29.0", &["1.16.2"]).as_deref(), Some("kindest/node:v1.30.13"));
        assert_eq!(image("v0.29.0", &["1.17.1"]).as_deref(), Some("kindest/node:v1.32.5"));
        assert_eq!(image("v0.29.0", &["1.17.1", "1.16.2"]).as_deref(), Some("kindest/node:v1.30.13"));
        assert_eq!(image("v0.29.0", &["1.20.0"]).as_deref(), Some("kindest/node:v1.33.1"));
        assert_eq!(image("v0.24.0", &["1.20.0"]), None);
        assert_eq!(image("v0.23.0", &["1.16.2"]), None);
    }

    #[test]
    fn the_images_of_every_shipped_version_are_known() {
        for version in Lock::own().versions_with_images() {
            let found = plumb_core::images::images(Lock::own().images(version).unwrap(), &Values::new()).unwrap();
            assert_eq!(found.iter().map(|image| image.role.as_str()).collect::<Vec<_>>(), ["agent", "operator", "envoy"]);
            assert!(found.iter().all(|image| image.digest.is_some()), "{found:?}");
            assert!(found[1].reference.ends_with(&format!("/operator-generic:v{version}")), "{found:?}");
        }
        assert_eq!(Lock::own().versions_with_images(), ["1.16.2", "1.17.1", "1.17.14", "1.20.0"]);
    }

    #[test]
    fn a_bad_line_is_named() {
        for (text, problem) in [
            ("program kind v0.29.0 linux/amd64 c72e", "line 1: `c72e` is no SHA-256"),
            ("\n# x\nnode v0.29.0 v1.33.1 050072256b9a903bd914c0b2866828150cb229cea0efe5892e2b644d5dd3b34f", "line 3: `` is no SHA-256"),
            ("cli >=1 x <2", "line 1: `x` is not a version"),
            ("kubernetes 1.16", "line 1: `kubernetes 1.16` is no line of this file"),
        ] {
            let error = Lock::parse(text).unwrap_err();
            assert!(error.starts_with(problem), "{error}");
        }
    }
}
