//! The parts of a lab with real Cilium: programs, node image, images of Cilium, chart, definitions, agent.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use plumb_core::version::Version;

use super::{Finding, cure_of, docker, one_line};
use crate::cilium::chart_version;
use crate::docker::DockerError;
use crate::parts::tools::{self, PartError, Whereabouts};
use crate::parts::{Given, Reach};
use crate::provider::kind;
use crate::provider::kind::images::{self, Archive, ImagesError};

const KIND: &str = "every scenario on kind";

/// What was read of the parts.
#[derive(Debug)]
pub(super) struct Reading {
    kind: Result<Whereabouts, PartError>,
    cilium: Result<Whereabouts, PartError>,
    agent: Result<(), String>,
    node_image: NodeImage,
    images: Images,
    /// Version of the chart that was given.
    chart: Option<(PathBuf, Result<String, String>)>,
    reach: Reach,
    kubectl: Option<(PathBuf, String)>,
    tcpdump: Option<PathBuf>,
}

/// The node image.
#[derive(Debug, Clone, PartialEq, Eq)]
enum NodeImage {
    /// It was given, and Docker has it or not.
    Given(String, bool),
    /// kind's own, from a registry that answers or not.
    Registry(Result<(), String>),
    /// Nothing may leave the machine, and none was given.
    Nowhere,
    /// Docker does not answer.
    NotAsked,
}

/// Images of Cilium.
#[derive(Debug)]
enum Images {
    Given(PathBuf, Result<Vec<Archive>, ImagesError>),
    Pulled,
}

/// Reads them.
pub(super) fn read(given: &Given, engine: &Result<docker::Reading, DockerError>) -> Reading {
    let node_image = match (engine, &given.node_image, given.reach) {
        (Err(_), _, _) => NodeImage::NotAsked,
        (Ok(engine), Some(image), _) => NodeImage::Given(image.clone(), engine.node_image.unwrap_or(false)),
        (Ok(_), None, Reach::Offline) => NodeImage::Nowhere,
        (Ok(_), None, Reach::Online) => NodeImage::Registry(wait(kind::registry())),
    };
    let images = match &given.images {
        Some(folder) => Images::Given(folder.clone(), images::archives(folder)),
        None => Images::Pulled,
    };
    let kubectl = in_path("kubectl").map(|path| {
        let said = first_line(&path, &["version", "--client"]);
        (path, said)
    });
    Reading {
        kind: wait(tools::where_kind_is(given)),
        cilium: wait(tools::where_cilium_cli_is(given, given.cilium_version.as_deref())),
        agent: crate::agent_program::findable(given).map_err(|error| error.to_string()),
        node_image,
        images,
        chart: given.chart.clone().map(|folder| (folder.clone(), chart_version(&folder))),
        reach: given.reach,
        kubectl,
        tcpdump: in_path("tcpdump"),
    }
}

/// Waits for an answer on a thread of its own, because the caller's may be inside a runtime.
fn wait<T: Send>(ask: impl Future<Output = T> + Send) -> T {
    let work = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("the kernel gives a thread an epoll descriptor").block_on(ask)
    };
    std::thread::scope(|scope| match scope.spawn(work).join() {
        Ok(answer) => answer,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

fn in_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

fn first_line(program: &Path, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.lines().next().unwrap_or("it does not say its version").trim().to_owned()
}

impl Reading {
    pub(super) fn judge(&self) -> Vec<Finding> {
        vec![
            program("kind", &self.kind, "install kind from its releases, or give --kind"),
            program("cilium CLI", &self.cilium, "install the cilium CLI from its releases, or give --cilium-cli"),
            self.agent(),
            self.node_image(),
            self.images(),
            self.chart(),
            self.kubectl(),
            self.tcpdump(),
        ]
    }

    fn agent(&self) -> Finding {
        match &self.agent {
            Ok(()) => Finding::there("agent", "a static plumb-agent is here, or its sources to build it from"),
            Err(error) => {
                let (seen, cure) = cure_of(error, "give --agent");
                Finding::lacking("agent", seen, KIND, cure)
            }
        }
    }

    fn node_image(&self) -> Finding {
        const WHAT: &str = "node image";
        const GIVE: &str = "docker pull kindest/node where there is a way out, docker save and docker load it here, and give --node-image";
        match &self.node_image {
            NodeImage::Given(image, true) => Finding::there(WHAT, format!("{image} is in Docker")),
            NodeImage::Given(image, false) => {
                Finding::lacking(WHAT, format!("{image} is not in Docker"), KIND, format!("docker pull {image}, or docker load it"))
            }
            NodeImage::Registry(Ok(())) => Finding::there(WHAT, "kind's own, from the registry, which answers"),
            NodeImage::Registry(Err(why)) => {
                Finding::lacking(WHAT, format!("none was given, and the registry does not answer: {}", one_line(why)), KIND, GIVE)
            }
            NodeImage::Nowhere => Finding::lacking(WHAT, "none was given, and --offline forbids to fetch one", KIND, GIVE),
            NodeImage::NotAsked => Finding::unknown(WHAT, "Docker does not answer", KIND, "docker image ls kindest/node"),
        }
    }

    fn images(&self) -> Finding {
        const WHAT: &str = "images of Cilium";
        const SAVE: &str = "docker save them into a folder (one *.tar or several) and give it as --images";
        match &self.images {
            Images::Given(folder, Ok(archives)) => {
                let references: Vec<&str> = archives.iter().flat_map(|archive| &archive.references).map(String::as_str).collect();
                let seen = format!("{} images in {} archives in {}", references.len(), archives.len(), folder.display());
                match references.iter().any(|reference| reference.contains("cilium")) {
                    true => Finding::there(WHAT, seen),
                    false => Finding::lacking(WHAT, format!("{seen}, none of them Cilium's"), KIND, SAVE),
                }
            }
            Images::Given(_, Err(error)) => {
                let (seen, _) = cure_of(error, SAVE);
                Finding::lacking(WHAT, seen, KIND, SAVE)
            }
            Images::Pulled if self.reach == Reach::Offline => {
                Finding::lacking(WHAT, "none were given, and --offline forbids to pull them", KIND, SAVE)
            }
            Images::Pulled => Finding::there(WHAT, "none were given: the nodes pull them from quay.io"),
        }
    }

    fn chart(&self) -> Finding {
        match &self.chart {
            Some((folder, Ok(version))) => Finding::there("chart of Cilium", format!("{version} in {}", folder.display())),
            Some((_, Err(why))) => {
                Finding::lacking("chart of Cilium", one_line(why), KIND, "give --chart an unpacked chart (the folder with Chart.yaml)")
            }
            None => Finding::there("chart of Cilium", "none was given: the CLI's own, else fetched"),
        }
    }

    fn kubectl(&self) -> Finding {
        match &self.kubectl {
            Some((path, said)) => Finding::there("kubectl", format!("{} ({said})", path.display())),
            None => {
                let stops = "looking into a lab by hand, and tests that talk to our API with it; no scenario needs it";
                Finding::lacking("kubectl", "not on PATH", stops, "apt-get install kubernetes-client")
            }
        }
    }

    fn tcpdump(&self) -> Finding {
        match &self.tcpdump {
            Some(path) => Finding::there("tcpdump", path.display().to_string()),
            None => Finding::lacking("tcpdump", "not on PATH", "tests that read our captures with it", "apt-get install tcpdump"),
        }
    }
}

fn program(what: &str, found: &Result<Whereabouts, PartError>, otherwise: &str) -> Finding {
    match found {
        Ok(Whereabouts::Here { path, version: Ok(Version(major, minor, patch)) }) => {
            Finding::there(what, format!("{major}.{minor}.{patch} at {}", path.display()))
        }
        Ok(Whereabouts::Here { path, version: Err(why) }) => {
            let seen = format!("{} does not say its version: {}", path.display(), one_line(why));
            Finding::unknown(what, seen, KIND, format!("{} version", path.display()))
        }
        Ok(Whereabouts::ToFetch { version, seen }) => Finding::there(what, format!("{version} is to be fetched ({seen})")),
        Err(error) => {
            let (seen, cure) = cure_of(error, otherwise);
            Finding::lacking(what, seen, KIND, cure)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    fn here(path: &str) -> Result<Whereabouts, PartError> {
        Ok(Whereabouts::Here { path: path.into(), version: Ok(Version(0, 29, 0)) })
    }

    fn archive(reference: &str) -> Archive {
        Archive { path: "a.tar".into(), references: vec![reference.to_owned()], contents: String::new() }
    }

    fn good() -> Reading {
        Reading {
            kind: here("/usr/bin/kind"),
            cilium: Ok(Whereabouts::ToFetch { version: "v0.18.3".into(), seen: "there is none in PATH".into() }),
            agent: Ok(()),
            node_image: NodeImage::Given("kindest/node:v1.33.1".into(), true),
            images: Images::Given("images".into(), Ok(vec![archive("quay.io/cilium/cilium:v1.17.1")])),
            chart: None,
            reach: Reach::Online,
            kubectl: Some(("/usr/bin/kubectl".into(), "Client Version: v1.32.0".into())),
            tcpdump: Some("/usr/bin/tcpdump".into()),
        }
    }

    fn lacking(reading: &Reading) -> Vec<String> {
        let lacking = |finding: &Finding| matches!(finding.state, State::Lacking { .. });
        reading.judge().into_iter().filter(lacking).map(|finding| finding.what).collect()
    }

    #[test]
    fn with_every_part_nothing_is_lacking() {
        let findings = good().judge();
        assert!(findings.iter().all(|finding| finding.state.is_there()), "{findings:?}");
        assert_eq!(findings[0], Finding::there("kind", "0.29.0 at /usr/bin/kind"));
        assert_eq!(findings[1], Finding::there("cilium CLI", "v0.18.3 is to be fetched (there is none in PATH)"));
    }

    #[test]
    fn without_any_part_each_is_lacking() {
        let unknown = |name, option| Err(PartError::Unknown { name, reason: "there is none in PATH".into(), option });
        let bad = Reading {
            kind: unknown("kind", "--kind"),
            cilium: unknown("cilium", "--cilium-cli"),
            agent: Err("find the agent\nhint: build it".into()),
            node_image: NodeImage::Nowhere,
            images: Images::Pulled,
            chart: Some(("chart".into(), Err("no Chart.yaml".into()))),
            reach: Reach::Offline,
            kubectl: None,
            tcpdump: None,
        };
        let all = ["kind", "cilium CLI", "agent", "node image", "images of Cilium", "chart of Cilium", "kubectl", "tcpdump"];
        assert_eq!(lacking(&bad), all);
        let State::Lacking { seen, cure, .. } = &bad.judge()[0].state else { panic!("{bad:?}") };
        assert_eq!((seen.as_str(), cure.as_str()), ("find kind: there is none in PATH", "give it with --kind"));
    }

    #[test]
    fn archives_without_cilium_and_images_docker_does_not_have_are_lacking() {
        let mut reading = good();
        reading.images = Images::Given("images".into(), Ok(vec![archive("docker.io/library/busybox:latest")]));
        reading.node_image = NodeImage::Given("kindest/node:v1.33.1".into(), false);
        assert_eq!(lacking(&reading), ["node image", "images of Cilium"]);
    }

    #[test]
    fn a_node_image_nobody_could_ask_about_is_unknown() {
        let reading = Reading { node_image: NodeImage::NotAsked, ..good() };
        assert!(matches!(reading.judge()[3].state, State::Unknown { .. }));
    }
}
