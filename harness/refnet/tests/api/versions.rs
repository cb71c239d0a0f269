//! Versions of a kind: the ones the definitions of a Gateway API release serve, and no others.

use plumb_refnet::api::{ApiConfig, ApiServer};
use serde_json::{Value, json};

use super::hostile::answer_on;

fn server(tls_routes: &str) -> ApiServer {
    ApiServer::new(ApiConfig { crds: vec![tls_routes.to_owned()] }).unwrap()
}

fn path(version: &str) -> String {
    format!("/apis/gateway.networking.k8s.io/{version}/namespaces/default/tlsroutes")
}

fn route(version: &str, name: &str, hostnames: Value) -> Vec<u8> {
    let spec = json!({"hostnames": hostnames, "rules": [{"backendRefs": [{"name": "web", "port": 443}]}]});
    let object =
        json!({"apiVersion": format!("gateway.networking.k8s.io/{version}"), "kind": "TLSRoute", "metadata": {"name": name}, "spec": spec});
    object.to_string().into_bytes()
}

#[tokio::test]
async fn tls_routes_are_served_in_the_versions_asked_for() {
    for (asked, versions) in [
        ("experimental/tlsroutes", [false, true, false]),
        ("tlsroutes@v1", [true, false, false]),
        ("experimental/tlsroutes@v1,v1alpha2,v1alpha3", [true, true, true]),
    ] {
        let server = server(asked);
        for (version, served) in ["v1", "v1alpha2", "v1alpha3"].into_iter().zip(versions) {
            let headers = [("content-type", "application/json")];
            let made = answer_on(&server, "POST", &path(version), &headers, route(version, version, json!(["a.example"]))).await;
            assert_eq!(made.0, if served { 201 } else { 404 }, "{asked} {version}: {}", made.1);
        }
        // One storage, whatever the version it was written in.
        for (version, _) in ["v1", "v1alpha2", "v1alpha3"].into_iter().zip(versions).filter(|(_, served)| *served) {
            let (code, list) = answer_on(&server, "GET", &path(version), &[], Vec::new()).await;
            assert_eq!((code, list["items"].as_array().unwrap().len()), (200, versions.iter().filter(|served| **served).count()));
            assert_eq!(list["items"][0]["apiVersion"], format!("gateway.networking.k8s.io/{version}"));
        }
    }
}

#[tokio::test]
async fn version_1_wants_host_names_and_version_1_alpha_2_does_not() {
    let server = server("experimental/tlsroutes@v1,v1alpha2");
    for (version, expected) in [("v1", 422), ("v1alpha2", 201)] {
        let mut object: Value = serde_json::from_slice(&route(version, version, json!([]))).unwrap();
        object["spec"].as_object_mut().unwrap().remove("hostnames");
        let body = object.to_string().into_bytes();
        let (code, said) = answer_on(&server, "POST", &path(version), &[("content-type", "application/json")], body).await;
        assert_eq!(code, expected, "{version}: {said}");
    }
}

#[test]
fn version_nobody_knows_is_refused() {
    let error = ApiServer::new(ApiConfig { crds: vec!["tlsroutes@v2".to_owned()] }).err().unwrap();
    assert_eq!(error.to_string(), "find a Gateway API definition named `tlsroutes@v2`");
}
