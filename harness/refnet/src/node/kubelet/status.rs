//! A Pod's status from what its containers do. Pure but for the clock.

use std::net::Ipv4Addr;

use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

/// What a container does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Doing {
    /// Not started, and why.
    Waiting {
        /// As `kubectl get pods` shows it.
        reason: &'static str,
        /// In words.
        message: String,
    },
    /// It runs since then; whether it listens.
    Running {
        /// RFC 3339.
        since: String,
        /// It listens on every port it is to serve.
        ready: bool,
    },
    /// It ended and is not started again.
    Ended {
        /// Exit status.
        code: i32,
    },
}

/// A container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ContainerState {
    pub(super) name: String,
    pub(super) image: String,
    pub(super) restarts: i32,
    pub(super) doing: Doing,
}

/// This moment, RFC 3339 with whole seconds.
pub(super) fn now() -> String {
    let now = time::OffsetDateTime::now_utc().replace_nanosecond(0).unwrap_or_else(|_| time::OffsetDateTime::now_utc());
    now.format(&time::format_description::well_known::Rfc3339).unwrap_or_default()
}

/// The whole status of a Pod.
pub(super) fn of(pod: &Pod, started: &str, host: Ipv4Addr, address: Option<Ipv4Addr>, containers: &[ContainerState]) -> Value {
    let ready = containers.iter().all(|container| matches!(container.doing, Doing::Running { ready: true, .. }));
    let mut status = json!({
        "phase": phase(containers),
        "hostIP": host.to_string(),
        "hostIPs": [{"ip": host.to_string()}],
        "startTime": started,
        "qosClass": "BestEffort",
        "conditions": conditions(pod, address.is_some(), ready),
        "containerStatuses": containers.iter().map(container).collect::<Vec<_>>(),
    });
    if let Some(address) = address {
        status["podIP"] = json!(address.to_string());
        status["podIPs"] = json!([{"ip": address.to_string()}]);
    }
    status
}

fn phase(containers: &[ContainerState]) -> &'static str {
    let ended = containers.iter().filter_map(|container| match container.doing {
        Doing::Ended { code } => Some(code),
        _ => None,
    });
    let ended: Vec<i32> = ended.collect();
    if !containers.is_empty() && ended.len() == containers.len() {
        return if ended.iter().all(|code| *code == 0) { "Succeeded" } else { "Failed" };
    }
    let begun = |container: &ContainerState| container.restarts > 0 || !matches!(container.doing, Doing::Waiting { .. });
    if containers.iter().all(begun) { "Running" } else { "Pending" }
}

/// Conditions keep the time of their last change, as long as they say the same.
fn conditions(pod: &Pod, network: bool, ready: bool) -> Vec<Value> {
    let before = pod.status.iter().flat_map(|status| status.conditions.iter().flatten()).collect::<Vec<_>>();
    [("PodScheduled", true), ("PodReadyToStartContainers", network), ("Initialized", true), ("ContainersReady", ready), ("Ready", ready)]
        .into_iter()
        .map(|(kind, holds)| {
            let says = if holds { "True" } else { "False" };
            let same = before.iter().find(|condition| condition.type_ == kind && condition.status == says);
            let since = same.and_then(|condition| serde_json::to_value(condition.last_transition_time.as_ref()?).ok());
            json!({"type": kind, "status": says, "lastProbeTime": null, "lastTransitionTime": since.unwrap_or_else(|| json!(now()))})
        })
        .collect()
}

fn container(container: &ContainerState) -> Value {
    let (state, ready, started) = match &container.doing {
        Doing::Waiting { reason, message } => (json!({"waiting": {"reason": reason, "message": message}}), false, false),
        Doing::Running { since, ready } => (json!({"running": {"startedAt": since}}), *ready, true),
        Doing::Ended { code } => {
            let reason = if *code == 0 { "Completed" } else { "Error" };
            (json!({"terminated": {"exitCode": code, "reason": reason}}), false, false)
        }
    };
    json!({
        "name": container.name, "image": container.image, "imageID": "", "restartCount": container.restarts,
        "ready": ready, "started": started, "state": state,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn state(doing: Doing) -> ContainerState {
        ContainerState { name: "agent".into(), image: "plumb-agent".into(), restarts: 0, doing }
    }

    #[test]
    fn pod_is_ready_only_when_every_container_listens() {
        let pod = Pod::default();
        let running = |ready| state(Doing::Running { since: now(), ready });
        let ready = |containers: &[ContainerState]| {
            let status = of(&pod, "", [10, 9, 0, 2].into(), Some([10, 244, 0, 2].into()), containers);
            (status["phase"].as_str().unwrap().to_owned(), status["conditions"][4]["status"].as_str().unwrap().to_owned())
        };
        assert_eq!(ready(&[running(true), running(false)]), ("Running".to_owned(), "False".to_owned()));
        assert_eq!(ready(&[running(true), running(true)]), ("Running".to_owned(), "True".to_owned()));
        let waiting = state(Doing::Waiting { reason: "ContainerCreating", message: String::new() });
        assert_eq!(ready(&[waiting]).0, "Pending");
        assert_eq!(ready(&[state(Doing::Ended { code: 0 })]).0, "Succeeded");
        assert_eq!(ready(&[state(Doing::Ended { code: 1 })]).0, "Failed");
    }
}
