//! kube-rs on the API server, in process and over HTTPS with client certificates.

use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt};
use gateway_api::gateways::Gateway;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod, Service};
use kube::api::{Api, DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, ResourceExt};
use plumb_refnet::api::Pki;
use serde_json::{Value, json};

use super::{https, server};

fn client() -> Client {
    server().client()
}

fn config_map(name: &str, value: &str) -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
        data: Some([("k".to_owned(), value.to_owned())].into()),
        ..ConfigMap::default()
    }
}

fn gateway() -> Value {
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", "metadata": {"name": "g"},
        "spec": {"gatewayClassName": "cilium", "listeners": [{"name": "http", "port": 80, "protocol": "HTTP"}]},
    })
}

fn code(error: &kube::Error) -> u16 {
    match error {
        kube::Error::Api(status) => status.code,
        other => panic!("expected a Status, got {other}"),
    }
}

fn typed<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn pod(name: &str, node: &str) -> Pod {
    typed(json!({
        "metadata": {"name": name}, "spec": {"nodeName": node, "containers": [{"name": "c", "image": "agent"}]},
    }))
}

#[tokio::test]
async fn objects_are_created_read_replaced_and_deleted() {
    let api: Api<ConfigMap> = Api::default_namespaced(client());
    let made = api.create(&PostParams::default(), &config_map("a", "1")).await.unwrap();
    assert!(made.uid().is_some() && made.resource_version().is_some());
    assert_eq!(code(&api.create(&PostParams::default(), &config_map("a", "1")).await.unwrap_err()), 409);
    let mut newer = made.clone();
    newer.data = Some([("k".to_owned(), "2".to_owned())].into());
    let replaced = api.replace("a", &PostParams::default(), &newer).await.unwrap();
    assert_ne!(replaced.resource_version(), made.resource_version());
    assert_eq!(code(&api.replace("a", &PostParams::default(), &newer).await.unwrap_err()), 409, "an old version must not win");
    assert_eq!(api.list(&ListParams::default()).await.unwrap().items.len(), 1);
    api.delete("a", &DeleteParams::default()).await.unwrap();
    assert_eq!(code(&api.get("a").await.unwrap_err()), 404);
}

#[tokio::test]
async fn a_missing_namespace_is_named() {
    let api: Api<ConfigMap> = Api::namespaced(client(), "nowhere");
    let error = api.create(&PostParams::default(), &config_map("a", "1")).await.unwrap_err();
    assert_eq!(code(&error), 404);
    assert!(error.to_string().contains("namespaces \"nowhere\" not found"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_racing_lease_holders_exactly_one_wins_each_round() {
    const WRITERS: usize = 8;
    const ROUNDS: usize = 20;
    let client = client();
    let api: Api<Lease> = Api::namespaced(client.clone(), "kube-system");
    api.create(&PostParams::default(), &typed(json!({"metadata": {"name": "l"}, "spec": {}}))).await.unwrap();
    for round in 0..ROUNDS {
        let seen = api.get("l").await.unwrap();
        let writers = (0..WRITERS).map(|writer| {
            let (api, mut lease) = (api.clone(), seen.clone());
            tokio::spawn(async move {
                lease.spec.as_mut().unwrap().holder_identity = Some(format!("{round}-{writer}"));
                api.replace("l", &PostParams::default(), &lease).await
            })
        });
        let mut winners = 0;
        for writer in writers.collect::<Vec<_>>() {
            match writer.await.unwrap() {
                Ok(_) => winners += 1,
                Err(error) => assert_eq!(code(&error), 409),
            }
        }
        assert_eq!(winners, 1, "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn counting_with_retries_loses_nothing() {
    let api: Api<ConfigMap> = Api::default_namespaced(client());
    api.create(&PostParams::default(), &config_map("n", "0")).await.unwrap();
    let writers = (0..6).map(|_| {
        let api = api.clone();
        tokio::spawn(async move {
            let mut done = 0;
            while done < 10 {
                let mut seen = api.get("n").await.unwrap();
                let data = seen.data.as_mut().unwrap();
                let next = data["k"].parse::<u32>().unwrap() + 1;
                data.insert("k".to_owned(), next.to_string());
                match api.replace("n", &PostParams::default(), &seen).await {
                    Ok(_) => done += 1,
                    Err(error) => assert_eq!(code(&error), 409),
                }
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    assert_eq!(api.get("n").await.unwrap().data.unwrap()["k"], "60");
}

#[tokio::test]
async fn apply_conflicts_name_the_field_and_its_manager_and_force_takes_it() {
    let api: Api<ConfigMap> = Api::default_namespaced(client());
    let wanted = |value: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": value}});
    let first = api.patch("a", &PatchParams::apply("one"), &Patch::Apply(wanted("1"))).await.unwrap();
    let again = api.patch("a", &PatchParams::apply("one"), &Patch::Apply(wanted("1"))).await.unwrap();
    assert_eq!(first.resource_version(), again.resource_version(), "an apply that changes nothing writes nothing");
    let kube::Error::Api(status) = api.patch("a", &PatchParams::apply("two"), &Patch::Apply(wanted("2"))).await.unwrap_err() else {
        panic!("expected a Status")
    };
    assert_eq!((status.code, status.reason.as_str()), (409, "Conflict"));
    let causes = &status.details.as_ref().unwrap().causes;
    assert_eq!(causes.len(), 1);
    assert_eq!((causes[0].reason.as_str(), causes[0].field.as_str()), ("FieldManagerConflict", ".data.k"));
    assert!(status.message.contains("conflict with \"one\""), "{}", status.message);
    let forced = api.patch("a", &PatchParams::apply("two").force(), &Patch::Apply(wanted("2"))).await.unwrap();
    assert_eq!(forced.data.unwrap()["k"], "2");
    // The first has nothing left; giving up the field is no change.
    let empty = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}});
    let left = api.patch("a", &PatchParams::apply("one"), &Patch::Apply(empty.clone())).await.unwrap();
    assert_eq!(left.data.unwrap()["k"], "2");
    let gone = api.patch("a", &PatchParams::apply("two"), &Patch::Apply(empty)).await.unwrap();
    assert!(gone.data.unwrap_or_default().is_empty(), "who owned the field alone takes it away");
}

#[tokio::test]
async fn two_managers_share_a_gateway_by_listener_name() {
    let api: Api<Gateway> = Api::default_namespaced(client());
    let listener = |name: &str, port: u16| {
        let mut object = gateway();
        object["spec"]["listeners"] = json!([{"name": name, "port": port, "protocol": "HTTP"}]);
        object
    };
    api.patch("g", &PatchParams::apply("one"), &Patch::Apply(listener("a", 80))).await.unwrap();
    let both = api.patch("g", &PatchParams::apply("two"), &Patch::Apply(listener("b", 81))).await.unwrap();
    let names = |g: &Gateway| g.spec.listeners.iter().map(|l| l.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&both), ["a", "b"]);
    let error = api.patch("g", &PatchParams::apply("two"), &Patch::Apply(listener("a", 82))).await.unwrap_err();
    assert_eq!(code(&error), 409);
    assert!(error.to_string().contains(r#".spec.listeners[name="a"].port"#), "{error}");
    let rest = api.patch("g", &PatchParams::apply("one"), &Patch::Apply(listener("c", 83))).await.unwrap();
    assert_eq!(names(&rest), ["b", "c"], "a listener its only manager no longer wants goes");
    assert_eq!(rest.metadata.generation, Some(3));
}

#[tokio::test]
async fn status_and_spec_do_not_touch_each_other() {
    let api: Api<Gateway> = Api::default_namespaced(client());
    let made = api.create(&PostParams::default(), &typed(gateway())).await.unwrap();
    assert_eq!(made.metadata.generation, Some(1));
    let now = "2026-01-01T00:00:00Z";
    let condition = json!({"type": "Programmed", "status": "True", "reason": "Programmed", "message": "", "lastTransitionTime": now});
    let status = json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", "metadata": {"name": "g"},
        "spec": {"gatewayClassName": "other", "listeners": []},
        "status": {"conditions": [condition], "addresses": [{"type": "IPAddress", "value": "10.9.0.220"}]},
    });
    let after = api.patch_status("g", &PatchParams::apply("controller"), &Patch::Apply(status)).await.unwrap();
    assert_eq!(after.spec.gateway_class_name, "cilium");
    assert_eq!(after.metadata.generation, Some(1), "a status write is no new generation");
    let patch = json!({"spec": {"gatewayClassName": "second"}, "status": {"addresses": []}});
    let after = api.patch("g", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    assert_eq!(after.metadata.generation, Some(2));
    assert_eq!(after.status.unwrap().addresses.unwrap()[0].value, "10.9.0.220");
}

#[tokio::test]
async fn versions_of_a_kind_share_their_objects() {
    let client = client();
    let mut object = gateway();
    object["apiVersion"] = json!("gateway.networking.k8s.io/v1beta1");
    let request = http::Request::post("/apis/gateway.networking.k8s.io/v1beta1/namespaces/default/gateways")
        .header("content-type", "application/json")
        .body(object.to_string().into_bytes())
        .unwrap();
    let made: Value = client.request(request).await.unwrap();
    assert_eq!(made["apiVersion"], "gateway.networking.k8s.io/v1beta1");
    let api: Api<Gateway> = Api::default_namespaced(client);
    assert_eq!(api.get("g").await.unwrap().uid().as_deref(), made["metadata"]["uid"].as_str());
    let tls = &made["spec"]["listeners"][0]["allowedRoutes"];
    assert_eq!(tls, &json!({"namespaces": {"from": "Same"}}), "defaults are filled in");
}

#[tokio::test]
async fn watches_tell_changes_in_order_and_labels_decide_what_is_seen() {
    let api: Api<ConfigMap> = Api::default_namespaced(client());
    let from = api.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();
    let mut events = api.watch(&WatchParams::default().labels("app=web"), &from).await.unwrap().boxed();
    let mut map = config_map("a", "1");
    api.create(&PostParams::default(), &map).await.unwrap();
    for (labels, expected) in
        [(json!({"app": "web"}), "added"), (json!({"app": "web", "x": "y"}), "modified"), (json!({"app": null}), "deleted")]
    {
        let started = Instant::now();
        map = api.patch("a", &PatchParams::default(), &Patch::Merge(json!({"metadata": {"labels": labels}}))).await.unwrap();
        let told = match events.try_next().await.unwrap().unwrap() {
            WatchEvent::Added(_) => "added",
            WatchEvent::Modified(_) => "modified",
            WatchEvent::Deleted(_) => "deleted",
            _ => "other",
        };
        assert_eq!(told, expected);
        assert!(started.elapsed() < Duration::from_millis(500), "{:?}", started.elapsed());
    }
    assert!(map.labels().get("app").is_none());
}

#[tokio::test]
async fn a_watch_from_too_long_ago_is_told_that_it_expired() {
    let api: Api<ConfigMap> = Api::default_namespaced(client());
    api.create(&PostParams::default(), &config_map("a", "0")).await.unwrap();
    let old = api.get("a").await.unwrap().resource_version().unwrap();
    for n in 0..1100 {
        api.patch("a", &PatchParams::default(), &Patch::Merge(json!({"data": {"k": n.to_string()}}))).await.unwrap();
    }
    let mut events = api.watch(&WatchParams::default(), &old).await.unwrap().boxed();
    match events.try_next().await.unwrap().unwrap() {
        WatchEvent::Error(status) => assert_eq!((status.code, status.reason.as_str()), (410, "Expired")),
        other => panic!("expected an error event, got {other:?}"),
    }
}

#[tokio::test]
async fn watchers_work_with_lists_and_with_streaming_lists() {
    for config in [watcher::Config::default(), watcher::Config::default().streaming_lists()] {
        let api: Api<ConfigMap> = Api::default_namespaced(client());
        api.create(&PostParams::default(), &config_map("a", "1")).await.unwrap();
        let mut objects = watcher(api.clone(), config).applied_objects().boxed();
        assert_eq!(objects.try_next().await.unwrap().unwrap().name_any(), "a");
        api.create(&PostParams::default(), &config_map("b", "1")).await.unwrap();
        assert_eq!(objects.try_next().await.unwrap().unwrap().name_any(), "b");
    }
}

#[tokio::test]
async fn finalizers_and_grace_keep_an_object_until_they_are_done() {
    let client = client();
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let mut map = config_map("a", "1");
    map.metadata.finalizers = Some(vec!["example.com/wait".to_owned()]);
    maps.create(&PostParams::default(), &map).await.unwrap();
    let kept = maps.delete("a", &DeleteParams::default()).await.unwrap().left().expect("the object, not a Status");
    assert!(kept.metadata.deletion_timestamp.is_some());
    maps.patch("a", &PatchParams::default(), &Patch::Merge(json!({"metadata": {"finalizers": null}}))).await.unwrap();
    assert_eq!(code(&maps.get("a").await.unwrap_err()), 404);

    let pods: Api<Pod> = Api::default_namespaced(client);
    pods.create(&PostParams::default(), &pod("p", "worker")).await.unwrap();
    let leaving = pods.delete("p", &DeleteParams::default()).await.unwrap().left().unwrap();
    assert_eq!(leaving.metadata.deletion_grace_period_seconds, Some(30));
    assert!(pods.get("p").await.is_ok(), "the kubelet has not ended it yet");
    pods.delete("p", &DeleteParams::default().grace_period(0)).await.unwrap();
    assert_eq!(code(&pods.get("p").await.unwrap_err()), 404);
}

#[tokio::test]
async fn dependents_go_with_their_owner() {
    let client = client();
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let owner = maps.create(&PostParams::default(), &config_map("owner", "1")).await.unwrap();
    let other = maps.create(&PostParams::default(), &config_map("other", "1")).await.unwrap();
    let reference = |map: &ConfigMap| json!({"apiVersion": "v1", "kind": "ConfigMap", "name": map.name_any(), "uid": map.uid()});
    for (name, owners) in [("only", vec![reference(&owner)]), ("both", vec![reference(&owner), reference(&other)])] {
        let mut map = config_map(name, "1");
        map.metadata.owner_references = typed(json!(owners));
        maps.create(&PostParams::default(), &map).await.unwrap();
    }
    maps.delete("owner", &DeleteParams::background()).await.unwrap();
    assert_eq!(code(&maps.get("only").await.unwrap_err()), 404);
    let both = maps.get("both").await.unwrap();
    assert_eq!(both.owner_references().len(), 1, "the owner that is gone is no owner any more");
}

#[tokio::test]
async fn a_namespace_takes_its_content_with_it_and_waits_for_its_pods() {
    let client = client();
    let namespaces: Api<Namespace> = Api::all(client.clone());
    namespaces.create(&PostParams::default(), &typed(json!({"metadata": {"name": "n"}}))).await.unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "n");
    let pods: Api<Pod> = Api::namespaced(client, "n");
    maps.create(&PostParams::default(), &config_map("a", "1")).await.unwrap();
    pods.create(&PostParams::default(), &pod("p", "worker")).await.unwrap();
    namespaces.delete("n", &DeleteParams::default()).await.unwrap();
    assert_eq!(code(&maps.get("a").await.unwrap_err()), 404);
    assert_eq!(namespaces.get("n").await.unwrap().status.unwrap().phase.as_deref(), Some("Terminating"));
    assert_eq!(code(&maps.create(&PostParams::default(), &config_map("b", "1")).await.unwrap_err()), 403);
    pods.delete("p", &DeleteParams::default().grace_period(0)).await.unwrap();
    assert_eq!(code(&namespaces.get("n").await.unwrap_err()), 404);
}

#[tokio::test]
async fn services_get_addresses_that_are_theirs() {
    let api: Api<Service> = Api::default_namespaced(client());
    let service = |name: &str, address: Option<&str>| -> Service {
        typed(json!({"metadata": {"name": name}, "spec": {"ports": [{"port": 80}], "clusterIP": address}}))
    };
    let a = api.create(&PostParams::default(), &service("a", None)).await.unwrap();
    let address = a.spec.unwrap().cluster_ip.unwrap();
    assert!(address.starts_with("10.96."), "{address}");
    assert_eq!(code(&api.create(&PostParams::default(), &service("b", Some(&address))).await.unwrap_err()), 422);
    assert_eq!(code(&api.create(&PostParams::default(), &service("b", Some("10.1.1.1"))).await.unwrap_err()), 422);
    let headless = api.create(&PostParams::default(), &service("c", Some("None"))).await.unwrap();
    assert_eq!(headless.spec.unwrap().cluster_ips.unwrap(), ["None"]);
    // An update that leaves the address out keeps it.
    let mut again = service("a", None);
    again.metadata.resource_version = api.get("a").await.unwrap().resource_version();
    let kept = api.replace("a", &PostParams::default(), &again).await.unwrap();
    assert_eq!(kept.spec.unwrap().cluster_ip.unwrap(), address);
}

#[tokio::test]
async fn strategic_patches_merge_containers_by_name() {
    let api: Api<Deployment> = Api::default_namespaced(client());
    let made = json!({
        "metadata": {"name": "d"},
        "spec": {
            "selector": {"matchLabels": {"app": "d"}},
            "template": {
                "metadata": {"labels": {"app": "d"}},
                "spec": {"containers": [{"name": "a", "image": "x", "env": [{"name": "E", "value": "1"}]}, {"name": "b", "image": "y"}]},
            },
        },
    });
    api.create(&PostParams::default(), &typed(made)).await.unwrap();
    let patch = json!({"spec": {"template": {"spec": {"containers": [
        {"name": "a", "env": [{"name": "F", "value": "2"}]}, {"name": "b", "$patch": "delete"}, {"name": "c", "image": "z"},
    ]}}}});
    let after = api.patch("d", &PatchParams::default(), &Patch::Strategic(patch)).await.unwrap();
    let containers = after.spec.unwrap().template.spec.unwrap().containers;
    let shown = containers
        .iter()
        .map(|c| (c.name.as_str(), c.env.iter().flatten().map(|e| e.name.as_str()).collect::<Vec<_>>()))
        .collect::<Vec<_>>();
    assert_eq!(shown, [("a", vec!["E", "F"]), ("c", vec![])]);
    assert_eq!(after.metadata.generation, Some(2));
}

#[tokio::test]
async fn a_definition_serves_a_new_kind_at_once_and_takes_it_away_again() {
    let client = client();
    let definitions: Api<k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition> =
        Api::all(client.clone());
    let definition = json!({
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced", "names": {"plural": "widgets", "kind": "Widget", "shortNames": ["wd"]},
            "versions": [{"name": "v1", "served": true, "storage": true, "subresources": {"status": {}}, "schema": {"openAPIV3Schema": {
                "type": "object",
                "properties": {"spec": {"type": "object", "required": ["size"], "properties": {
                    "size": {"type": "integer", "minimum": 1}, "color": {"type": "string", "enum": ["red", "blue"], "default": "red"},
                }}, "status": {"type": "object", "properties": {"seen": {"type": "boolean"}}}},
            }}}],
        },
    });
    definitions.create(&PostParams::default(), &typed(definition)).await.unwrap();
    let resource = kube::api::ApiResource::from_gvk(&kube::api::GroupVersionKind::gvk("example.com", "v1", "Widget"));
    let api: Api<kube::api::DynamicObject> = Api::default_namespaced_with(client, &resource);
    let widget = |spec: Value| typed(json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": spec}));
    assert_eq!(code(&api.create(&PostParams::default(), &widget(json!({"size": 0}))).await.unwrap_err()), 422);
    assert_eq!(code(&api.create(&PostParams::default(), &widget(json!({"size": 1, "color": "green"}))).await.unwrap_err()), 422);
    let made = api.create(&PostParams::default(), &widget(json!({"size": 1, "unknown": 2}))).await.unwrap();
    assert_eq!(made.data["spec"], json!({"size": 1, "color": "red"}), "defaults in, unknown fields out");
    definitions.delete("widgets.example.com", &DeleteParams::default()).await.unwrap();
    assert_eq!(code(&api.get("w").await.unwrap_err()), 404);
}

#[tokio::test]
async fn over_https_watches_come_at_once_and_stop_ends_them() {
    let (serving, url, pki) = https();
    let identity = pki.client("admin", &["system:masters"]).unwrap();
    let client = Client::try_from(pki.kube_config(&url, &identity).unwrap()).unwrap();
    let api: Api<ConfigMap> = Api::default_namespaced(client.clone());
    assert_eq!(client.apiserver_version().await.unwrap().major, "1");
    let mut events = api.watch(&WatchParams::default(), "0").await.unwrap().boxed();
    let mut slowest = Duration::ZERO;
    for n in 0..20 {
        let started = Instant::now();
        api.create(&PostParams::default(), &config_map(&format!("m{n}"), "1")).await.unwrap();
        assert!(matches!(events.try_next().await.unwrap().unwrap(), WatchEvent::Added(_)));
        slowest = slowest.max(started.elapsed());
    }
    // Nagle's algorithm would make each of these 40 ms late on every try; the machine may be loaded, so the bound is wide.
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
    serving.stop().await;
    assert!(matches!(events.try_next().await, Ok(None) | Err(_)));
    assert!(api.list(&ListParams::default()).await.is_err());
}

#[tokio::test]
async fn a_missing_or_foreign_client_certificate_is_refused() {
    let (serving, url, pki) = https();
    let mut anonymous = pki.kube_config(&url, &pki.client("x", &[]).unwrap()).unwrap();
    anonymous.auth_info = kube::config::AuthInfo::default();
    let foreign = Pki::new().unwrap().client("admin", &["system:masters"]).unwrap();
    for config in [anonymous, pki.kube_config(&url, &foreign).unwrap()] {
        let api: Api<ConfigMap> = Api::default_namespaced(Client::try_from(config).unwrap());
        let error = api.list(&ListParams::default()).await.unwrap_err();
        assert!(!matches!(error, kube::Error::Api(_)), "refused before HTTP, but got {error}");
    }
    serving.stop().await;
}

#[tokio::test]
async fn a_small_call_takes_about_a_millisecond() {
    let api: Api<Lease> = Api::namespaced(client(), "kube-system");
    api.create(&PostParams::default(), &typed(json!({"metadata": {"name": "l"}, "spec": {}}))).await.unwrap();
    let mut times = Vec::new();
    for n in 0..100 {
        let started = Instant::now();
        let mut lease = api.get("l").await.unwrap();
        lease.spec.as_mut().unwrap().holder_identity = Some(n.to_string());
        api.replace("l", &PostParams::default(), &lease).await.unwrap();
        times.push(started.elapsed() / 2);
    }
    times.sort();
    // On a quiet machine half a millisecond without optimisation; the bound leaves room for a loaded one.
    assert!(times[50] < Duration::from_millis(20), "median {:?}, slowest {:?}", times[50], times[99]);
    #[allow(clippy::print_stdout, reason = "a measurement, shown with --nocapture")]
    {
        println!("median {:?}, slowest {:?}", times[50], times[99]);
    }
}
