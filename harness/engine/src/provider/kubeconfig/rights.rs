//! The rights a run needs in a cluster, as one table: what is asked of the API before anything is made, and the ClusterRole that grants
//! it. All that is lacking is said at once.

use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use kube::api::{Api, PostParams};
use kube::{Client, Error};
use serde_json::{Value, json};

use crate::cluster::chain;
use crate::cluster::facts::GATEWAY_GROUP;

/// Questions side by side, and the limit for one.
const AT_ONCE: usize = 8;
const ANSWER: Duration = Duration::from_secs(15);
/// Name of the role.
const ROLE: &str = "plumbline";

const READ: &[&str] = &["get", "list", "watch"];
const MAKE: &[&str] = &["get", "list", "watch", "create", "patch", "delete"];

/// Verbs on resources.
struct Right {
    group: &'static str,
    resources: &'static [&'static str],
    verbs: &'static [&'static str],
    for_what: &'static str,
    need: Need,
}

/// Whether a run cannot do without.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    /// It cannot.
    Always,
    /// Only what is gathered for readers is poorer; what is missing is named there.
    Evidence,
}

const RIGHTS: &[Right] = &[
    Right { group: "", resources: &["nodes"], verbs: &["get", "list"], for_what: "which nodes there are", need: Need::Always },
    Right { group: "", resources: &["pods"], verbs: READ, for_what: "where Cilium and the agents run", need: Need::Always },
    Right { group: "", resources: &["pods/exec"], verbs: &["get", "create"], for_what: "sessions with the agents", need: Need::Always },
    Right { group: "", resources: &["configmaps"], verbs: &["get"], for_what: "cilium-config", need: Need::Always },
    Right { group: "cilium.io", resources: &["ciliumnodes"], verbs: &["get", "list"], for_what: "WireGuard keys", need: Need::Always },
    Right {
        group: "apiextensions.k8s.io",
        resources: &["customresourcedefinitions"],
        verbs: &["get", "list"],
        for_what: "which release of the Gateway API",
        need: Need::Always,
    },
    Right {
        group: "",
        resources: &["namespaces", "services", "secrets"],
        verbs: &["get", "list", "watch", "create", "patch", "delete"],
        for_what: "backends and certificates",
        need: Need::Always,
    },
    Right { group: "apps", resources: &["daemonsets", "deployments"], verbs: MAKE, for_what: "agents and backends", need: Need::Always },
    Right {
        group: GATEWAY_GROUP,
        resources: &["gateways", "httproutes", "grpcroutes", "tlsroutes", "referencegrants"],
        verbs: MAKE,
        for_what: "what scenarios apply",
        need: Need::Always,
    },
    Right {
        group: "cilium.io",
        resources: &["ciliumloadbalancerippools", "ciliuml2announcementpolicies"],
        verbs: MAKE,
        for_what: "what scenarios apply",
        need: Need::Always,
    },
    Right {
        group: "coordination.k8s.io",
        resources: &["leases"],
        verbs: &["get", "list", "watch", "delete"],
        for_what: "who announces an address",
        need: Need::Always,
    },
    Right {
        group: "",
        resources: &["pods/log", "events", "endpoints"],
        verbs: &["get", "list"],
        for_what: "evidence",
        need: Need::Evidence,
    },
    Right {
        group: "discovery.k8s.io",
        resources: &["endpointslices"],
        verbs: &["get", "list"],
        for_what: "evidence",
        need: Need::Evidence,
    },
    Right { group: GATEWAY_GROUP, resources: &["*"], verbs: &["get", "list"], for_what: "evidence", need: Need::Evidence },
    Right { group: "cilium.io", resources: &["*"], verbs: &["get", "list"], for_what: "evidence", need: Need::Evidence },
];

/// The ClusterRole that grants all of it, ready for `kubectl apply`.
pub fn role() -> Value {
    let rule = |right: &Right| json!({"apiGroups": [right.group], "resources": right.resources, "verbs": right.verbs});
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": ROLE},
        "rules": RIGHTS.iter().map(rule).collect::<Vec<Value>>(),
    })
}

/// The same as YAML, with what each rule is for.
pub fn role_yaml() -> String {
    let list = |words: &[&str]| words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ");
    let mut text = format!(
        "# What `plumb run --provider kubeconfig` needs. To grant it:\n#   kubectl create clusterrolebinding {ROLE} --clusterrole={ROLE} --user=NAME\n\
         apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata:\n  name: {ROLE}\nrules:\n"
    );
    for right in RIGHTS {
        text.push_str(&format!(
            "  - apiGroups: [\"{}\"]  # {}\n    resources: [{}]\n    verbs: [{}]\n",
            right.group,
            right.for_what,
            list(right.resources),
            list(right.verbs)
        ));
    }
    text
}

/// Everything the account behind a client lacks, as `verb resource.group (what for)`. An API that has no such question has no rights to
/// lack.
///
/// # Errors
/// The question was not answered; why.
pub async fn lacking(client: &Client) -> Result<Vec<String>, String> {
    // Whoever may do everything is asked once.
    match may(client, "*", "*", "*").await? {
        Answer::Yes | Answer::NoQuestion => return Ok(Vec::new()),
        Answer::No => {}
    }
    let mut asked = Vec::new();
    for right in RIGHTS.iter().filter(|right| right.need == Need::Always) {
        for resource in right.resources {
            asked.extend(right.verbs.iter().map(|verb| (right, *resource, *verb)));
        }
    }
    let questions =
        asked.into_iter().map(async |(right, resource, verb)| (right, resource, verb, may(client, verb, right.group, resource).await));
    let answers: Vec<_> = futures::stream::iter(questions).buffered(AT_ONCE).collect().await;
    let mut lacking: Vec<(String, &str, Vec<&str>)> = Vec::new();
    for (right, resource, verb, answer) in answers {
        if answer? == Answer::No {
            let name = if right.group.is_empty() { resource.to_owned() } else { format!("{resource}.{}", right.group) };
            match lacking.iter_mut().find(|(known, ..)| *known == name) {
                Some((_, _, verbs)) => verbs.push(verb),
                None => lacking.push((name, right.for_what, vec![verb])),
            }
        }
    }
    Ok(lacking.into_iter().map(|(name, for_what, verbs)| format!("{} on {name} ({for_what})", verbs.join(", "))).collect())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    Yes,
    No,
    /// The API knows no such question.
    NoQuestion,
}

async fn may(client: &Client, verb: &str, group: &str, resource: &str) -> Result<Answer, String> {
    let (resource, subresource) = match resource.split_once('/') {
        Some((resource, subresource)) => (resource, Some(subresource.to_owned())),
        None => (resource, None),
    };
    let attributes = ResourceAttributes {
        verb: Some(verb.to_owned()),
        group: Some(group.to_owned()),
        resource: Some(resource.to_owned()),
        subresource,
        ..ResourceAttributes::default()
    };
    let spec = SelfSubjectAccessReviewSpec { resource_attributes: Some(attributes), ..SelfSubjectAccessReviewSpec::default() };
    let review = SelfSubjectAccessReview { spec, ..SelfSubjectAccessReview::default() };
    let reviews = Api::<SelfSubjectAccessReview>::all(client.clone());
    match tokio::time::timeout(ANSWER, reviews.create(&PostParams::default(), &review)).await {
        Ok(Ok(review)) if review.status.as_ref().is_some_and(|status| status.allowed) => Ok(Answer::Yes),
        Ok(Ok(_)) => Ok(Answer::No),
        Ok(Err(Error::Api(status))) if status.code == 404 => Ok(Answer::NoQuestion),
        Ok(Err(error)) => Err(format!("ask which rights this account has: {}", chain(&error))),
        Err(_) => Err(format!("ask which rights this account has: no answer within {} s", ANSWER.as_secs())),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use http::{Request, Response};
    use http_body_util::{BodyExt as _, Full};
    use kube::client::Body;

    use super::*;

    /// An API that allows what `allows` says of verb, group and resource (with its subresource).
    fn api(allows: impl Fn(&str, &str, &str) -> bool + Clone + Send + Sync + 'static) -> Client {
        let service = tower::service_fn(move |request: Request<Body>| {
            let allows = allows.clone();
            async move {
                let body = request.into_body().collect().await.unwrap().to_bytes();
                let mut review: Value = serde_json::from_slice(&body).unwrap();
                let text =
                    |key: &str| review.pointer(&format!("/spec/resourceAttributes/{key}")).and_then(Value::as_str).unwrap_or_default();
                let resource = format!("{}/{}", text("resource"), text("subresource"));
                let allowed = allows(text("verb"), text("group"), resource.trim_end_matches('/'));
                review["status"] = json!({"allowed": allowed});
                let response = Response::builder().status(201).header("content-type", "application/json");
                Ok::<_, std::convert::Infallible>(response.body(Full::new(bytes::Bytes::from(review.to_string()))).unwrap())
            }
        });
        Client::new(service, "default")
    }

    #[tokio::test]
    async fn all_that_is_lacking_is_said_at_once() {
        let allows = |verb: &str, _: &str, resource: &str| {
            verb != "*" && resource != "pods/exec" && !(resource == "deployments" && ["create", "delete"].contains(&verb))
        };
        assert_eq!(
            lacking(&api(allows)).await.unwrap(),
            ["get, create on pods/exec (sessions with the agents)", "create, delete on deployments.apps (agents and backends)"]
        );
    }

    #[tokio::test]
    async fn whoever_may_do_everything_lacks_nothing_and_an_api_without_rights_neither() {
        assert_eq!(lacking(&api(|_, _, _| true)).await.unwrap(), Vec::<String>::new());
        let reference = plumb_refnet::api::ApiServer::new(plumb_refnet::api::ApiConfig::default()).unwrap();
        assert_eq!(lacking(&reference.client()).await.unwrap(), Vec::<String>::new());
    }

    /// An account that has exactly the role.
    #[tokio::test]
    async fn the_role_grants_what_is_asked_for() {
        let role = role();
        let allows = move |verb: &str, group: &str, resource: &str| {
            role["rules"].as_array().unwrap().iter().any(|rule| {
                let has = |key: &str, wanted: &str| rule[key].as_array().unwrap().iter().any(|value| value == wanted);
                has("apiGroups", group) && has("resources", resource) && has("verbs", verb)
            })
        };
        assert_eq!(lacking(&api(allows)).await.unwrap(), Vec::<String>::new());
        let yaml: Value = serde_saphyr::from_str(&role_yaml()).unwrap();
        assert_eq!(yaml, super::role());
    }
}
