//! What is wrong with a Pod, read from its status: what will not end by waiting (a crash loop, an image that cannot be had), and what
//! merely is not there yet.

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};

use super::ready::PodTrouble;

/// Reasons of a waiting container that end a wait. The kubelet says `CrashLoopBackOff` after the second start that failed, and
/// `ImagePullBackOff` after a pull that failed (`pkg/kubelet/images/types.go`, `pkg/kubelet/kuberuntime/kuberuntime_manager.go`).
const ENDS: [&str; 7] = [
    "CrashLoopBackOff",
    "ImagePullBackOff",
    "ErrImageNeverPull",
    "InvalidImageName",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
];

/// Reasons of a container that never ran; it has no log.
const NEVER_RAN: [&str; 5] =
    ["ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "CreateContainerConfigError", "CreateContainerError"];

/// The first of its containers that will not come up, without its log.
pub(super) fn broken(pod: &Pod) -> Option<PodTrouble> {
    containers(pod).find_map(|container| {
        let waiting = container.state.as_ref()?.waiting.as_ref()?;
        let reason = waiting.reason.as_deref().filter(|reason| ENDS.contains(reason))?;
        let last = container.last_state.as_ref().and_then(|state| state.terminated.as_ref());
        Some(PodTrouble {
            pod: name(pod).to_owned(),
            node: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()),
            container: container.name.clone(),
            image: container.image.clone(),
            reason: reason.to_owned(),
            message: waiting.message.clone().or_else(|| last.and_then(|last| last.message.clone())),
            exit_code: last.map(|last| last.exit_code),
            restarts: container.restart_count,
            log: Vec::new(),
        })
    })
}

/// Whether a container with this trouble has a log.
pub(super) fn has_log(trouble: &PodTrouble) -> bool {
    !NEVER_RAN.contains(&trouble.reason.as_str())
}

/// What a Pod still lacks, in words; `None` when it is ready or on its way out.
pub(super) fn lacks(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    let condition = |kind: &str| status.conditions.iter().flatten().find(|condition| condition.type_ == kind);
    let ready = condition("Ready").is_some_and(|condition| condition.status == "True");
    if ready || pod.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let name = name(pod);
    if let Some(unscheduled) = condition("PodScheduled").filter(|condition| condition.status == "False") {
        return Some(format!("pod {name} is not scheduled: {}", unscheduled.message.as_deref().unwrap_or("no reason given")));
    }
    let waiting = containers(pod).find_map(|container| {
        let state = container.state.as_ref()?;
        let reason = state.waiting.as_ref().map(|waiting| waiting.reason.as_deref().unwrap_or("waiting").to_owned());
        let unready = state.running.is_some() && !container.ready && container.started.unwrap_or(true);
        let what = reason.or_else(|| unready.then(|| "running, not ready".to_owned()))?;
        Some(format!("container {} is {what}", container.name))
    });
    let phase = || format!("phase {}", status.phase.as_deref().unwrap_or("unknown"));
    Some(format!("pod {name}: {}", waiting.unwrap_or_else(phase)))
}

/// Init containers first, as they run.
fn containers(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    let status = pod.status.as_ref();
    let init = status.and_then(|status| status.init_container_statuses.as_ref());
    let main = status.and_then(|status| status.container_statuses.as_ref());
    init.into_iter().flatten().chain(main.into_iter().flatten())
}

fn name(pod: &Pod) -> &str {
    pod.metadata.name.as_deref().unwrap_or("?")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use serde_json::{Value, json};

    fn pod(status: Value) -> Pod {
        serde_json::from_value(json!({"metadata": {"name": "cilium-x"}, "spec": {"containers": [], "nodeName": "w"}, "status": status}))
            .unwrap()
    }

    fn container(name: &str, state: Value, more: Value) -> Value {
        let mut status = json!({"name": name, "image": "i", "imageID": "", "ready": false, "restartCount": 0, "state": state});
        status.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        status
    }

    #[test]
    fn a_crash_loop_is_broken_and_the_first_restart_is_not() {
        let last = json!({"restartCount": 2, "lastState": {"terminated": {"exitCode": 1, "reason": "Error"}}});
        let crash = container("cilium-agent", json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}), last);
        let trouble = broken(&pod(json!({"containerStatuses": [crash]}))).unwrap();
        assert_eq!((trouble.container.as_str(), trouble.exit_code, trouble.restarts), ("cilium-agent", Some(1), 2));
        assert!(has_log(&trouble));
        let running = container("cilium-agent", json!({"running": {}}), json!({"restartCount": 1}));
        assert!(broken(&pod(json!({"containerStatuses": [running]}))).is_none());
    }

    #[test]
    fn an_init_container_whose_image_cannot_be_had_is_named() {
        let message = "Back-off pulling image \"quay.io/cilium/cilium:v1\"";
        let pull = container("config", json!({"waiting": {"reason": "ImagePullBackOff", "message": message}}), json!({}));
        let waits = container("cilium-agent", json!({"waiting": {"reason": "PodInitializing"}}), json!({}));
        let trouble = broken(&pod(json!({"initContainerStatuses": [pull], "containerStatuses": [waits]}))).unwrap();
        assert_eq!((trouble.container.as_str(), trouble.message.as_deref()), ("config", Some(message)));
        assert!(!has_log(&trouble));
        let first = container("config", json!({"waiting": {"reason": "ErrImagePull"}}), json!({}));
        assert!(broken(&pod(json!({"initContainerStatuses": [first]}))).is_none(), "the kubelet tries once more");
    }

    #[test]
    fn what_a_pod_lacks_is_said_in_words() {
        let check = |status: Value| lacks(&pod(status));
        let ready = |status: &str| json!({"type": "Ready", "status": status});
        assert_eq!(check(json!({"conditions": [ready("True")]})), None);
        let unscheduled = json!({"type": "PodScheduled", "status": "False", "message": "0/1 nodes are available"});
        let said = check(json!({"phase": "Pending", "conditions": [unscheduled]})).unwrap();
        assert_eq!(said, "pod cilium-x is not scheduled: 0/1 nodes are available");
        let waits = container("mount-cgroup", json!({"waiting": {"reason": "PodInitializing"}}), json!({}));
        let said = check(json!({"conditions": [ready("False")], "initContainerStatuses": [waits]})).unwrap();
        assert_eq!(said, "pod cilium-x: container mount-cgroup is PodInitializing");
        let runs = container("cilium-agent", json!({"running": {}}), json!({"started": true}));
        let said = check(json!({"conditions": [ready("False")], "containerStatuses": [runs]})).unwrap();
        assert_eq!(said, "pod cilium-x: container cilium-agent is running, not ready");
        assert_eq!(check(json!({"phase": "Pending"})).unwrap(), "pod cilium-x: phase Pending");
    }
}
