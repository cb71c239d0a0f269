#![allow(clippy::unwrap_used, reason = "tests")]
use super::*;
use plumb_refnet::api::{ApiConfig, ApiServer};
use serde_json::json;

const LIMIT: Duration = Duration::from_secs(20);

fn definition(plural: &str, channel: &str) -> String {
    let kind = format!("K{plural}");
    let name = format!("{plural}.gateway.networking.k8s.io");
    let annotations = json!({"gateway.networking.k8s.io/bundle-version": "v1.2.0", "gateway.networking.k8s.io/channel": channel});
    let version = json!({"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object"}}});
    let old = json!({"name": "v1beta1", "served": false, "storage": false, "schema": {"openAPIV3Schema": {"type": "object"}}});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": name, "annotations": annotations},
        "spec": {"group": "gateway.networking.k8s.io", "scope": "Namespaced", "versions": [version, old],
            "names": {"plural": plural, "singular": kind.to_lowercase(), "kind": kind, "listKind": format!("{kind}List")}},
        "status": {"conditions": []},
    })
    .to_string()
}

fn client() -> Client {
    ApiServer::new(ApiConfig { crds: Vec::new() }).unwrap().client()
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[tokio::test]
async fn definitions_of_a_folder_are_applied_and_established_whatever_its_layout() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("experimental")).unwrap();
    std::fs::write(folder.path().join("gateway.networking.k8s.io_gateways.yaml"), definition("gateways", "standard")).unwrap();
    std::fs::write(folder.path().join("httproutes.yaml"), format!("---\n{}\n", definition("httproutes", "standard"))).unwrap();
    let path = "experimental/gateway.networking.k8s.io_tlsroutes.yaml";
    std::fs::write(folder.path().join(path), definition("tlsroutes", "experimental")).unwrap();
    let source = Source::Folder(folder.path().to_owned());
    let client = client();
    let wanted = names(&["gateways", "httproutes", "experimental/tlsroutes"]);
    let applied = apply(&client, &source, &wanted, LIMIT).await.unwrap();
    assert_eq!(
        applied[2],
        Applied {
            name: "tlsroutes.gateway.networking.k8s.io".into(),
            version: Some("v1.2.0".into()),
            channel: Some("experimental".into()),
            served: vec!["v1".into()],
        }
    );
    // A second time changes nothing.
    assert_eq!(apply(&client, &source, &wanted, LIMIT).await.unwrap(), applied);
}

#[tokio::test]
async fn a_missing_file_is_named_with_what_is_there_and_nothing_is_applied() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("gateways.yaml"), definition("gateways", "standard")).unwrap();
    let source = Source::Folder(folder.path().to_owned());
    let client = client();
    let error = apply(&client, &source, &names(&["gateways", "experimental/tlsroutes"]), LIMIT).await.unwrap_err().to_string();
    assert!(error.contains("find the definition experimental/tlsroutes in /"), "{error}");
    assert!(error.contains(": there is gateways.yaml\nhint: experimental/tlsroutes is config/crd/experimental/"), "{error}");
    let cluster = Cluster::new(client, LIMIT);
    let found = cluster.list("customresourcedefinition", None, "").await.unwrap();
    assert!(found.iter().all(|found| found["metadata"]["name"] != "gateways.gateway.networking.k8s.io"));
}

#[test]
fn a_file_that_is_another_definition_is_refused() {
    let check = |name: &str, text: &str| understood(name, text).map(drop).unwrap_err();
    assert_eq!(
        check("gateways", &definition("tlsroutes", "standard")),
        "it is CustomResourceDefinition tlsroutes.gateway.networking.k8s.io, expected CustomResourceDefinition gateways.gateway.networking.k8s.io"
    );
    let channel = check("tlsroutes", &definition("tlsroutes", "experimental"));
    assert!(channel.starts_with("it is of channel experimental, expected standard\nhint: tlsroutes is config/crd/standard/"), "{channel}");
    assert_eq!(check("gateways", "---\n---\n"), "it is not one document");
    assert!(understood("gateways", &definition("gateways", "standard")).unwrap().get("status").is_none());
}

#[tokio::test]
async fn without_a_way_out_a_folder_is_asked_for() {
    let wanted = GatewayApi { version: "v1.2.0".into(), crds: names(&["gateways"]) };
    let given = Given { reach: Reach::Offline, ..Given::default() };
    let error = apply(&client(), &Source::of(&given, &wanted), &wanted.crds, LIMIT).await.unwrap_err().to_string();
    assert_eq!(
        error,
        "find the Gateway API definitions of v1.2.0: nothing may leave this machine\nhint: give a folder with them with --crds"
    );
    let given = Given { crds: Some("/crds".into()), reach: Reach::Offline, ..Given::default() };
    assert_eq!(Source::of(&given, &wanted), Source::Folder("/crds".into()));
}

#[test]
fn every_definition_that_is_wrong_is_told_before_anything_is_made() {
    let folder = tempfile::tempdir().unwrap();
    for (plural, channel) in [("gateways", "standard"), ("httproutes", "experimental")] {
        std::fs::write(folder.path().join(format!("{plural}.yaml")), definition(plural, channel)).unwrap();
    }
    let told = |source: &Source| {
        let wanted = names(&["gateways", "httproutes", "tlsroutes"]);
        mistakes(source, &wanted).iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let [channel, missing] = &told(&Source::Folder(folder.path().to_owned()))[..] else { panic!("expected two") };
    assert!(channel.contains("httproutes.yaml: it is of channel experimental, expected standard\nhint: "), "{channel}");
    assert!(missing.starts_with("find the definition tlsroutes in "), "{missing}");
    let release = |reach| Source::Release { version: "v1.2.0".into(), reach };
    assert_eq!(told(&release(Reach::Online)), Vec::<String>::new());
    assert_eq!(told(&release(Reach::Offline)).len(), 1);
}

#[test]
fn a_definition_has_its_place_in_a_release() {
    assert_eq!(release_path("gateways"), "config/crd/standard/gateway.networking.k8s.io_gateways.yaml");
    assert_eq!(release_path("experimental/xlistenersets"), "config/crd/experimental/gateway.networking.x-k8s.io_xlistenersets.yaml");
}
