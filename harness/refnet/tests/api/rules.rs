//! Rules that clients rarely meet and controllers rely on.

use http_body_util::{BodyExt, Full};
use plumb_refnet::api::ApiServer;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::server;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const PODS: &str = "/api/v1/namespaces/default/pods";

struct Answer {
    code: u16,
    warnings: Vec<String>,
    body: Value,
}

async fn ask(server: &ApiServer, method: &str, target: &str, content_type: &str, body: &Value) -> Answer {
    let bytes = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    let request = http::Request::builder().method(method).uri(target).header("content-type", content_type);
    let request = request.body(Full::new(bytes::Bytes::from(bytes))).unwrap();
    let response = server.service().oneshot(request).await.unwrap();
    let code = response.status().as_u16();
    let warnings = response.headers().get_all("warning").iter().map(|w| w.to_str().unwrap().to_owned()).collect();
    let body = serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap();
    Answer { code, warnings, body }
}

async fn get(server: &ApiServer, target: &str) -> Answer {
    ask(server, "GET", target, "application/json", &Value::Null).await
}

async fn made(server: &ApiServer, target: &str, body: Value) -> Value {
    let answer = ask(server, "POST", target, "application/json", &body).await;
    assert_eq!(answer.code, 201, "{}", answer.body);
    answer.body
}

fn map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}})
}

fn owned(name: &str, owner: &Value) -> Value {
    let mut object = map(name);
    let reference = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"]});
    object["metadata"]["ownerReferences"] = json!([reference]);
    object
}

#[tokio::test]
async fn a_dry_run_answers_and_changes_nothing() {
    let server = server();
    let answer = ask(&server, "POST", &format!("{MAPS}?dryRun=All"), "application/json", &map("a")).await;
    assert_eq!(answer.code, 201);
    assert!(answer.body["metadata"]["uid"].is_string());
    assert_eq!(get(&server, &format!("{MAPS}/a")).await.code, 404);
    let before = made(&server, MAPS, map("a")).await;
    let patch = json!({"data": {"k": "v"}});
    let answer = ask(&server, "PATCH", &format!("{MAPS}/a?dryRun=All"), "application/merge-patch+json", &patch).await;
    assert_eq!(answer.body["data"]["k"], "v");
    let delete = ask(&server, "DELETE", &format!("{MAPS}/a?dryRun=All"), "application/json", &Value::Null).await;
    assert_eq!(delete.code, 200);
    assert_eq!(get(&server, &format!("{MAPS}/a")).await.body, before);
    assert_eq!(ask(&server, "POST", &format!("{MAPS}?dryRun=Some"), "application/json", &map("b")).await.code, 400);
}

#[tokio::test]
async fn unknown_fields_are_dropped_with_a_warning_unless_strict() {
    let server = server();
    let mut object = map("a");
    object["daata"] = json!({});
    let answer = ask(&server, "POST", MAPS, "application/json", &object).await;
    assert_eq!((answer.code, answer.body.get("daata")), (201, None));
    assert_eq!(answer.warnings, [r#"299 - "unknown field \"daata\"""#]);
    object["metadata"]["name"] = json!("b");
    assert!(ask(&server, "POST", &format!("{MAPS}?fieldValidation=Ignore"), "application/json", &object).await.warnings.is_empty());
    object["metadata"]["name"] = json!("c");
    assert_eq!(ask(&server, "POST", &format!("{MAPS}?fieldValidation=Strict"), "application/json", &object).await.code, 400);
}

#[tokio::test]
async fn orphans_stay_and_foreground_owners_wait() {
    let server = server();
    let owner = made(&server, MAPS, map("owner")).await;
    made(&server, MAPS, owned("child", &owner)).await;
    let orphan = json!({"propagationPolicy": "Orphan"});
    ask(&server, "DELETE", &format!("{MAPS}/owner"), "application/json", &orphan).await;
    assert_eq!(get(&server, &format!("{MAPS}/child")).await.body["metadata"].get("ownerReferences"), None);

    let owner = made(&server, MAPS, map("owner")).await;
    let mut held = owned("held", &owner);
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    made(&server, MAPS, held).await;
    let foreground = json!({"propagationPolicy": "Foreground"});
    ask(&server, "DELETE", &format!("{MAPS}/owner"), "application/json", &foreground).await;
    let waiting = get(&server, &format!("{MAPS}/owner")).await;
    assert_eq!(waiting.body["metadata"]["finalizers"], json!(["foregroundDeletion"]));
    made(&server, MAPS, owned("late", &owner)).await;
    assert_eq!(get(&server, &format!("{MAPS}/late")).await.code, 404, "made for an owner that is on its way out, it goes too");
    let free = json!({"metadata": {"finalizers": null}});
    ask(&server, "PATCH", &format!("{MAPS}/held"), "application/merge-patch+json", &free).await;
    assert_eq!(get(&server, &format!("{MAPS}/owner")).await.code, 404, "the last dependent is gone, so is its owner");
    made(&server, MAPS, owned("later", &owner)).await;
    assert_eq!(get(&server, &format!("{MAPS}/later")).await.code, 404, "and what is made for it afterwards");
}

#[tokio::test]
async fn a_long_chain_of_owners_goes_at_once() {
    let server = server();
    let mut owner = made(&server, MAPS, map("m0")).await;
    for n in 1..300 {
        owner = made(&server, MAPS, owned(&format!("m{n}"), &owner)).await;
    }
    ask(&server, "DELETE", &format!("{MAPS}/m0"), "application/json", &Value::Null).await;
    assert_eq!(get(&server, MAPS).await.body["items"], json!([]));
}

#[tokio::test]
async fn collections_are_deleted_by_selector() {
    let server = server();
    for (name, app) in [("a", "x"), ("b", "x"), ("c", "y")] {
        let mut object = map(name);
        object["metadata"]["labels"] = json!({"app": app});
        made(&server, MAPS, object).await;
    }
    let gone = ask(&server, "DELETE", &format!("{MAPS}?labelSelector=app%3Dx"), "application/json", &Value::Null).await;
    assert_eq!(gone.body["items"].as_array().unwrap().len(), 2);
    assert_eq!(get(&server, MAPS).await.body["items"][0]["metadata"]["name"], "c");
}

#[tokio::test]
async fn a_pod_is_bound_once_and_its_spec_stays() {
    let server = server();
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    made(&server, PODS, pod).await;
    let binding = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "p"}, "target": {"kind": "Node", "name": "worker"}});
    assert_eq!(ask(&server, "POST", &format!("{PODS}/p/binding"), "application/json", &binding).await.code, 201);
    assert_eq!(ask(&server, "POST", &format!("{PODS}/p/binding"), "application/json", &binding).await.code, 409);
    let bound = get(&server, &format!("{PODS}/p")).await.body;
    assert_eq!(bound["spec"]["nodeName"], "worker");
    assert_eq!(bound["status"]["conditions"][0]["type"], "PodScheduled");
    let patch = json!({"spec": {"restartPolicy": "Never"}});
    let refused = ask(&server, "PATCH", &format!("{PODS}/p"), "application/merge-patch+json", &patch).await;
    assert_eq!((refused.code, refused.body["details"]["causes"][0]["reason"].as_str()), (422, Some("FieldValueForbidden")));
}

#[tokio::test]
async fn names_are_generated_and_preconditions_hold() {
    let server = server();
    let generated = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "x-"}});
    let name = made(&server, MAPS, generated).await["metadata"]["name"].as_str().unwrap().to_owned();
    assert!(name.starts_with("x-") && name.len() == 7, "{name}");
    let wrong = json!({"preconditions": {"uid": "other"}});
    assert_eq!(ask(&server, "DELETE", &format!("{MAPS}/{name}"), "application/json", &wrong).await.code, 409);
    assert_eq!(ask(&server, "DELETE", &format!("{MAPS}/{name}"), "application/json", &Value::Null).await.body["status"], "Success");
}

#[tokio::test]
async fn applied_finalizers_and_owners_merge_by_their_keys() {
    let server = server();
    let apply = |manager: &str, finalizer: &str| {
        let mut object = map("a");
        object["metadata"]["finalizers"] = json!([finalizer]);
        (format!("{MAPS}/a?fieldManager={manager}"), object)
    };
    for (manager, finalizer) in [("one", "a.b/one"), ("two", "a.b/two")] {
        let (target, object) = apply(manager, finalizer);
        ask(&server, "PATCH", &target, "application/apply-patch+yaml", &object).await;
    }
    let both = get(&server, &format!("{MAPS}/a")).await.body;
    assert_eq!(both["metadata"]["finalizers"], json!(["a.b/one", "a.b/two"]));
    let rest = ask(&server, "PATCH", &format!("{MAPS}/a?fieldManager=one"), "application/apply-patch+yaml", &map("a")).await;
    assert_eq!(rest.body["metadata"]["finalizers"], json!(["a.b/two"]));
    assert_eq!(ask(&server, "PATCH", &format!("{MAPS}/a"), "application/apply-patch+yaml", &map("a")).await.code, 422, "no fieldManager");
}
