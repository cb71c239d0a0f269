//! Looks at this machine: what is there, and of what is not, what that stops and the cure. Changes nothing.
//!
//! Each subject has a reader, which asks the machine, and judges, which say what a reading means and ask nothing. A judge must not
//! guess: what could not be read is [`State::Unknown`], with the command that tells.

mod docker;
mod kernel;
mod machine;
mod parts;

use serde::Serialize;

use crate::parts::Given;
use crate::provider;

/// Name of the finding that decides whether anything can run at all.
pub const REFERENCE_NETWORK: &str = "reference network";

/// Memory a cluster made by kind takes, with Cilium and two workers (measured).
const CLUSTER_MEMORY_MIB: u64 = 3 << 10;
/// Disk it takes in Docker's folder, with its images loaded (measured).
const CLUSTER_DISK_MIB: u64 = 7 << 10;

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What.
    pub what: String,
    /// How it is.
    #[serde(flatten)]
    pub state: State,
}

/// How something is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "state")]
pub enum State {
    /// As it should be.
    #[serde(rename = "ok")]
    There {
        /// How it is, in words.
        seen: String,
    },
    /// Not as it should be.
    Lacking {
        /// What was seen.
        seen: String,
        /// What does not work without it.
        stops: String,
        /// The command or setting that cures it.
        cure: String,
    },
    /// It could not be found out.
    Unknown {
        /// Why not.
        seen: String,
        /// What does not work if it is lacking.
        stops: String,
        /// The command that tells.
        ask: String,
    },
}

impl State {
    /// Whether it is as it should be.
    pub fn is_there(&self) -> bool {
        matches!(self, State::There { .. })
    }
}

impl Finding {
    fn there(what: impl Into<String>, seen: impl Into<String>) -> Finding {
        Finding { what: what.into(), state: State::There { seen: seen.into() } }
    }

    fn lacking(what: impl Into<String>, seen: impl Into<String>, stops: impl Into<String>, cure: impl Into<String>) -> Finding {
        Finding { what: what.into(), state: State::Lacking { seen: seen.into(), stops: stops.into(), cure: cure.into() } }
    }

    fn unknown(what: impl Into<String>, seen: impl Into<String>, stops: impl Into<String>, ask: impl Into<String>) -> Finding {
        Finding { what: what.into(), state: State::Unknown { seen: seen.into(), stops: stops.into(), ask: ask.into() } }
    }
}

/// Looks at everything, with the parts that are given.
pub fn examine(given: &Given) -> Vec<Finding> {
    let engine = docker::read(given);
    let mut findings = vec![reference_network()];
    findings.extend(machine::read(engine.as_ref().ok().map(|engine| engine.about.root.as_str())).judge());
    findings.extend(kernel::read().judge());
    findings.extend(docker::judge(&engine));
    findings.extend(parts::read(given, &engine).judge());
    findings.extend(cluster(given));
    findings
}

/// The cluster that runs already, where one was named: nobody else's is asked.
fn cluster(given: &Given) -> Option<Finding> {
    const WHAT: &str = "cluster that runs";
    const STOPS: &str = "every scenario on kubeconfig";
    if given.kubeconfig.is_none() && given.context.is_none() && given.agent_image.is_none() {
        return None;
    }
    Some(match provider::find("kubeconfig", given) {
        Err(unfit) => {
            let (seen, cure) = cure_of(&unfit, "`plumb run --help` names the options of a cluster that runs");
            Finding::lacking(WHAT, seen, STOPS, cure)
        }
        Ok(found) if !found.unavailable.is_empty() => {
            Finding::lacking(WHAT, found.unavailable.join("; "), STOPS, "give --kubeconfig, --context and --agent-image")
        }
        Ok(found) => match found.capability.and_then(|capability| capability.running) {
            Some(running) if running.troubles.is_empty() => Finding::there(WHAT, running.system),
            running => {
                let troubles = running.map(|running| running.troubles.join("; ")).unwrap_or_default();
                Finding::lacking(WHAT, troubles, STOPS, "wait until the cluster is at rest: `cilium status --wait`")
            }
        },
    })
}

fn reference_network() -> Finding {
    match plumb_refnet::lab::availability() {
        Ok(()) => Finding::there(REFERENCE_NETWORK, "namespaces, bridges, vxlan and packet sockets work"),
        Err(missing) => Finding::lacking(REFERENCE_NETWORK, missing.what, "every scenario on refnet", missing.cure),
    }
}

/// An error with its hint, on one line.
fn one_line(error: &impl std::fmt::Display) -> String {
    error.to_string().replace("\nhint: ", "; ").replace('\n', " ")
}

/// An error's message on one line and the hint apart, which is its cure.
fn cure_of(error: &impl std::fmt::Display, otherwise: &str) -> (String, String) {
    let text = error.to_string();
    match text.split_once("\nhint: ") {
        Some((message, hint)) => (message.replace('\n', " "), hint.replace('\n', " ")),
        None => (text.replace('\n', " "), otherwise.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn every_lack_names_what_it_stops_and_its_cure() {
        let findings = examine(&Given { reach: crate::parts::Reach::Offline, ..Given::default() });
        assert!(findings.len() > 15, "{findings:?}");
        for finding in findings {
            match &finding.state {
                State::There { seen } => assert!(!seen.is_empty(), "{finding:?}"),
                State::Lacking { seen, stops, cure: then } | State::Unknown { seen, stops, ask: then } => {
                    assert!(!seen.is_empty() && !stops.is_empty() && !then.is_empty(), "{finding:?}");
                    assert!(!seen.contains('\n') && !then.contains('\n'), "one line each: {finding:?}");
                }
            }
        }
    }

    #[test]
    fn machines_read_a_finding_by_its_state() {
        let text = |finding: &Finding| serde_json::to_string(finding).unwrap();
        assert_eq!(text(&Finding::there("a", "b")), r#"{"what":"a","state":"ok","seen":"b"}"#);
        let lacking = r#"{"what":"a","state":"lacking","seen":"b","stops":"c","cure":"d"}"#;
        assert_eq!(text(&Finding::lacking("a", "b", "c", "d")), lacking);
        let unknown = r#"{"what":"a","state":"unknown","seen":"b","stops":"c","ask":"d"}"#;
        assert_eq!(text(&Finding::unknown("a", "b", "c", "d")), unknown);
    }

    #[test]
    fn the_hint_of_an_error_is_the_cure() {
        assert_eq!(cure_of(&"it is\ntoo old\nhint: upgrade", "x"), ("it is too old".into(), "upgrade".into()));
        assert_eq!(cure_of(&"no", "ask again"), ("no".into(), "ask again".into()));
    }
}
