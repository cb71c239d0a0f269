//! The argv and the values against the CLI and a chart as they are, on the reference network's API: rendered, not installed
//! (the CLI writes its release as protobuf, which that API does not read).
//!
//! `PLUMB_CILIUM_CLI=... PLUMB_CHART=... cargo test -p plumb-engine --lib cilium::real -- --ignored`

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::time::Duration;

use plumb_core::cilium_config::promises;
use plumb_core::values::Values;
use plumb_refnet::api::{ApiConfig, ApiServer, Pki, Serving};
use serde_json::{Value, json};

use super::{Chart, Digests, Target, Wanted, chart_version, command, install_argv, verbs};
use crate::cluster::{Cluster, Manifest};
use crate::parts::Given;

const LIMIT: Duration = Duration::from_secs(120);

/// Kinds the chart has and the reference network has no use for.
async fn serve_more(client: &kube::Client) {
    let cluster = Cluster::new(client.clone(), LIMIT);
    let (rbac, admission) = ("rbac.authorization.k8s.io", "admissionregistration.k8s.io");
    for (group, kind, plural, scope) in [
        (rbac, "ClusterRole", "clusterroles", "Cluster"),
        (rbac, "ClusterRoleBinding", "clusterrolebindings", "Cluster"),
        (rbac, "Role", "roles", "Namespaced"),
        (rbac, "RoleBinding", "rolebindings", "Namespaced"),
        (admission, "ValidatingAdmissionPolicy", "validatingadmissionpolicies", "Cluster"),
        (admission, "ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings", "Cluster"),
    ] {
        let schema = json!({"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}});
        let value = json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": format!("{plural}.{group}")},
            "spec": {
                "group": group, "scope": scope,
                "names": {"plural": plural, "singular": kind.to_lowercase(), "kind": kind, "listKind": format!("{kind}List")},
                "versions": [{"name": "v1", "served": true, "storage": true, "schema": schema}],
            },
        });
        cluster.apply(&Manifest { object: plural.into(), value }).await.unwrap();
    }
}

/// Lab API, CLI and chart of the environment.
async fn scene(folder: &std::path::Path, values: Value) -> (Serving, Target, Wanted) {
    let given = Given::from_env();
    let (program, chart) = (given.cilium_cli.unwrap(), given.chart.unwrap());
    let pki = Pki::new().unwrap();
    let server = ApiServer::new(ApiConfig { crds: vec!["gatewayclasses".into()] }).unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let tls = pki.server_config(&["localhost".into()], &["127.0.0.1".parse().unwrap()]).unwrap();
    let serving = server.serve(listener, tls).unwrap();
    serve_more(&server.client()).await;
    let identity = pki.client("admin", &["system:masters"]).unwrap();
    let text = pki.kubeconfig(&format!("https://{}", serving.address()), &identity);
    let mut config: Value = serde_saphyr::from_str(&text).unwrap();
    // The CLI knows kind by the name of its context.
    for pointer in ["/current-context", "/contexts/0/name", "/contexts/0/context/cluster", "/clusters/0/name"] {
        *config.pointer_mut(pointer).unwrap() = json!("kind-plumb-a");
    }
    let kubeconfig = folder.join("kubeconfig");
    std::fs::write(&kubeconfig, config.to_string()).unwrap();
    let version = chart_version(&chart).unwrap();
    let target = Target { program, kubeconfig, context: "kind-plumb-a".into(), folder: folder.to_owned() };
    let values = serde_json::from_value(values).unwrap();
    (serving, target, Wanted { chart: Chart::Directory(chart), version, values, digests: Digests::Off })
}

/// What the CLI renders: every object.
async fn rendered(target: &Target, wanted: &Wanted) -> Vec<Value> {
    verbs::prepare(target, wanted).unwrap();
    let mut argv = install_argv(target, wanted);
    argv.push("--dry-run".into());
    let ran = command::run(target, &argv, LIMIT).await.unwrap_or_else(|error| panic!("{error}"));
    let options = serde_saphyr::options! { strict_booleans: false, legacy_octal_numbers: true };
    let documents: Vec<Value> = serde_saphyr::from_multiple_with_options(&ran.stdout, options).unwrap_or_else(|error| panic!("{error}"));
    documents.into_iter().filter(|document| !document.is_null()).collect()
}

fn object<'a>(objects: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let found = objects.iter().find(|object| object["kind"] == kind && object["metadata"]["name"] == name);
    found.unwrap_or_else(|| panic!("no {kind} {name}"))
}

#[tokio::test]
#[ignore = "needs PLUMB_CILIUM_CLI and PLUMB_CHART"]
async fn what_a_flag_set_promises_stands_in_the_rendered_configuration() {
    for values in [
        json!({
            "kubeProxyReplacement": true, "l2announcements.enabled": true, "l2announcements.leaseDuration": "3s",
            "l2announcements.leaseRenewDeadline": "1s", "l2announcements.leaseRetryPeriod": "500ms", "devices": ["eth0", "net0"],
            "operator.replicas": 2,
        }),
        json!({
            "kubeProxyReplacement": true, "gatewayAPI.enabled": true, "gatewayAPI.hostNetwork.enabled": true,
            "envoy.securityContext.capabilities.keepCapNetBindService": true, "gatewayAPI.enableAlpn": true,
            "envoy.securityContext.capabilities.envoy": ["NET_ADMIN", "SYS_ADMIN", "NET_BIND_SERVICE"],
            "gatewayAPI.gatewayClass.create": "true", "gatewayAPI.xffNumTrustedHops": 2,
            "encryption.enabled": true, "encryption.type": "wireguard", "encryption.nodeEncryption": true,
            "extraConfig.node-encryption-opt-out-labels": "a=b",
        }),
        json!({"kubeProxyReplacement": false, "l2announcements.enabled": false, "gatewayAPI.enabled": false, "encryption.enabled": false}),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let (_serving, target, wanted) = scene(folder.path(), values).await;
        let objects = rendered(&target, &wanted).await;
        let config = object(&objects, "ConfigMap", "cilium-config");
        // A key without a value (1.17.1 has one) is dropped by the API.
        let data = config["data"].as_object().unwrap().iter();
        let config: BTreeMap<String, String> = data.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect();
        let mut promised: Values = wanted.values.clone();
        let ground = json!({"ipam.mode": "kubernetes", "cluster.name": "kind-plumb-a", "routingMode": "tunnel", "tunnelProtocol": "vxlan"});
        promised.extend(serde_json::from_value::<Values>(ground).unwrap());
        let (promises, _) = promises(&promised);
        let broken: Vec<_> = promises.iter().filter_map(|promise| promise.broken_by(&config).map(|found| (promise, found))).collect();
        assert!(broken.is_empty() && promises.len() >= 8, "{broken:?}");
    }
}

#[tokio::test]
#[ignore = "needs PLUMB_CILIUM_CLI and PLUMB_CHART"]
async fn lists_numbers_and_images_arrive_as_they_were_given() {
    let folder = tempfile::tempdir().unwrap();
    let values = json!({
        "envoy.securityContext.capabilities.envoy": ["NET_ADMIN", "SYS_ADMIN", "NET_BIND_SERVICE"], "operator.replicas": 2,
        "envoy.enabled": true, "gatewayAPI.enabled": true, "kubeProxyReplacement": true,
    });
    let (_serving, target, wanted) = scene(folder.path(), values).await;
    let objects = rendered(&target, &wanted).await;
    let container = "/spec/template/spec/containers/0";
    let envoy = object(&objects, "DaemonSet", "cilium-envoy").pointer(container).unwrap();
    assert_eq!(envoy["securityContext"]["capabilities"]["add"], json!(["NET_ADMIN", "SYS_ADMIN", "NET_BIND_SERVICE"]));
    assert_eq!(object(&objects, "Deployment", "cilium-operator")["spec"]["replicas"], 2);
    let tag = format!(":v{}", wanted.version);
    for (kind, name) in [("DaemonSet", "cilium"), ("Deployment", "cilium-operator")] {
        let image = object(&objects, kind, name).pointer(container).unwrap()["image"].as_str().unwrap();
        assert!(image.ends_with(&tag), "no digest in {image}");
    }
    assert_eq!(object(&objects, "GatewayClass", "cilium")["spec"]["controllerName"], "io.cilium/gateway-controller");
}
