//! kubectl against a server on loopback. Skipped, with its reason, where there is no kubectl.

use std::path::PathBuf;
use std::process::{Output, Stdio};

use ::kube::api::{Api, Patch, PatchParams};
use ::kube::{Client, ResourceExt};
use gateway_api::gateways::Gateway;
use k8s_openapi::api::core::v1::Pod;
use plumb_refnet::api::Serving;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::https;

/// The manifests of the documentation, one of a kind.
const MANIFEST: &str = r#"
apiVersion: gateway.networking.k8s.io/v1beta1
kind: Gateway
metadata: {name: tls-gateway}
spec:
  gatewayClassName: cilium
  listeners:
    - name: https-1
      protocol: HTTPS
      port: 443
      hostname: "bookinfo.cilium.rocks"
      tls:
        certificateRefs:
          - kind: Secret
            name: demo-cert
---
apiVersion: gateway.networking.k8s.io/v1beta1
kind: HTTPRoute
metadata: {name: load-balancing-route}
spec:
  parentRefs: [{name: my-gateway}]
  hostnames: [a.example.com]
  rules:
    - matches: [{path: {type: PathPrefix, value: /echo}}]
      backendRefs:
        - {kind: Service, name: echo-1, port: 8080, weight: 90}
        - {kind: Service, name: echo-2, port: 8090, weight: 10}
---
apiVersion: gateway.networking.k8s.io/v1alpha2
kind: TLSRoute
metadata: {name: nginx}
spec:
  parentRefs: [{name: cilium-tls-gateway}]
  hostnames: [nginx.cilium.rocks]
  rules: [{backendRefs: [{name: my-nginx, port: 443}]}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: "agent:1", ports: [{containerPort: 80}]}]}
---
apiVersion: cilium.io/v2alpha1
kind: CiliumLoadBalancerIPPool
metadata: {name: pool}
spec: {blocks: [{cidr: 10.0.10.0/24}]}
"#;

/// A server, and kubectl with a home of its own.
struct Kubectl {
    program: PathBuf,
    home: tempfile::TempDir,
    client: Client,
    serving: Serving,
}

impl Kubectl {
    /// `None` where there is no kubectl; a failure where `PLUMB_REQUIRE` names it.
    fn start() -> Option<Kubectl> {
        let paths = std::env::var_os("PATH").unwrap_or_default();
        let named = std::env::var_os("PLUMB_KUBECTL").map(PathBuf::from);
        let program = named.or_else(|| std::env::split_paths(&paths).map(|dir| dir.join("kubectl")).find(|path| path.is_file()));
        let Some(program) = program else {
            let required = std::env::var("PLUMB_REQUIRE").unwrap_or_default();
            assert!(!required.split(',').any(|tool| tool == "kubectl"), "PLUMB_REQUIRE names kubectl and it is not installed");
            skipped("there is no kubectl on this machine (Debian: apt-get install kubernetes-client)");
            return None;
        };
        let (serving, url, pki) = https();
        let identity = pki.client("admin", &["system:masters"]).unwrap();
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("config"), pki.kubeconfig(&url, &identity)).unwrap();
        let client = Client::try_from(pki.kube_config(&url, &identity).unwrap()).unwrap();
        Some(Kubectl { program, home, client, serving })
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .env_clear()
            .env("HOME", self.home.path())
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("KUBECONFIG", self.home.path().join("config"))
            .arg(format!("--cache-dir={}", self.home.path().join("cache").display()))
            .args(arguments)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    async fn run(&self, arguments: &[&str], input: &str) -> Output {
        let mut command = self.command(arguments);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).await.unwrap();
        child.wait_with_output().await.unwrap()
    }

    /// Standard output of a call that must work.
    async fn ok(&self, arguments: &[&str], input: &str) -> String {
        let output = self.run(arguments, input).await;
        let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        assert!(output.status.success(), "kubectl {arguments:?}: {out}{err}");
        out
    }

    /// Standard error of a call that must not work.
    async fn refused(&self, arguments: &[&str], input: &str) -> String {
        let output = self.run(arguments, input).await;
        assert!(!output.status.success(), "kubectl {arguments:?} was not refused: {}", String::from_utf8_lossy(&output.stdout));
        String::from_utf8(output.stderr).unwrap()
    }
}

#[allow(clippy::print_stderr, reason = "the reason a test did nothing")]
pub(super) fn skipped(why: &str) {
    eprintln!("skipped: {why}");
}

/// The header of a table, its columns parted by one space.
fn header(table: &str) -> String {
    table.lines().next().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
}

#[tokio::test(flavor = "multi_thread")]
async fn apply_get_describe_and_delete_work() {
    let Some(kubectl) = Kubectl::start() else { return };
    let first = kubectl.ok(&["apply", "-f", "-"], MANIFEST).await;
    assert_eq!(first.lines().filter(|line| line.ends_with(" created")).count(), 6, "{first}");
    let second = kubectl.ok(&["apply", "-f", "-"], MANIFEST).await;
    for unchanged in ["service/web", "deployment.apps/web", "ciliumloadbalancerippool.cilium.io/pool"] {
        assert!(second.contains(&format!("{unchanged} unchanged")), "{second}");
    }
    for (what, columns) in [
        ("gateways", "NAME CLASS ADDRESS PROGRAMMED AGE"),
        ("httproutes", "NAME HOSTNAMES AGE"),
        ("services", "NAME TYPE CLUSTER-IP EXTERNAL-IP PORT(S) AGE"),
        ("deployments", "NAME READY UP-TO-DATE AVAILABLE AGE"),
        ("ippools", "NAME DISABLED CONFLICTING IPS AVAILABLE AGE"),
        ("namespaces", "NAME STATUS AGE"),
        ("crds", "NAME CREATED AT"),
    ] {
        assert_eq!(header(&kubectl.ok(&["get", what], "").await), columns);
    }
    let gateway: Value = serde_json::from_str(&kubectl.ok(&["get", "gateway", "tls-gateway", "-o", "json"], "").await).unwrap();
    assert_eq!(gateway["spec"]["listeners"][0]["tls"]["mode"], "Terminate");
    assert!(kubectl.ok(&["get", "svc", "web", "-o", "yaml"], "").await.contains("clusterIP: 10.96."));
    assert!(kubectl.ok(&["describe", "gateway", "tls-gateway"], "").await.contains("bookinfo.cilium.rocks"));
    assert!(kubectl.ok(&["describe", "service", "web"], "").await.contains("8080/TCP"));
    assert!(kubectl.ok(&["get", "all"], "").await.contains("deployment.apps/web"));
    let gone = kubectl.ok(&["delete", "-f", "-"], MANIFEST).await;
    assert_eq!(gone.lines().filter(|line| line.contains(" deleted")).count(), 6, "{gone}");
    assert!(kubectl.refused(&["get", "svc", "web"], "").await.contains(r#"services "web" not found"#));
    kubectl.serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn server_side_apply_takes_over_what_the_client_applied() {
    let Some(kubectl) = Kubectl::start() else { return };
    kubectl.ok(&["apply", "-f", "-"], MANIFEST).await;
    kubectl.ok(&["apply", "--server-side", "-f", "-"], MANIFEST).await;
    let api: Api<Gateway> = Api::default_namespaced(kubectl.client.clone());
    let before = api.get("tls-gateway").await.unwrap().resource_version();
    kubectl.ok(&["apply", "--server-side", "-f", "-"], MANIFEST).await;
    assert_eq!(api.get("tls-gateway").await.unwrap().resource_version(), before, "nothing changed, nothing is written");
    let other = json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", "metadata": {"name": "tls-gateway"},
        "spec": {"gatewayClassName": "other"},
    });
    api.patch("tls-gateway", &PatchParams::apply("somebody").force(), &Patch::Apply(other)).await.unwrap();
    let conflict = kubectl.refused(&["apply", "--server-side", "-f", "-"], MANIFEST).await;
    assert!(conflict.contains(r#"conflict with "somebody""#) && conflict.contains(".spec.gatewayClassName"), "{conflict}");
    kubectl.ok(&["apply", "--server-side", "--force-conflicts", "-f", "-"], MANIFEST).await;
    assert_eq!(api.get("tls-gateway").await.unwrap().spec.gateway_class_name, "cilium");
    kubectl.serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wait_returns_when_the_condition_comes_true() {
    let Some(kubectl) = Kubectl::start() else { return };
    kubectl.ok(&["apply", "-f", "-"], MANIFEST).await;
    let waiting = kubectl.command(&["wait", "gateway/tls-gateway", "--for=condition=Programmed", "--timeout=30s"]).output();
    let api: Api<Gateway> = Api::default_namespaced(kubectl.client.clone());
    let condition = json!({"type": "Programmed", "status": "True", "reason": "Programmed", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"});
    let patch = json!({"status": {"conditions": [condition], "addresses": [{"type": "IPAddress", "value": "10.0.10.1"}]}});
    let (waited, _) =
        tokio::join!(waiting, async { api.patch_status("tls-gateway", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap() });
    let waited = waited.unwrap();
    assert!(waited.status.success(), "{}", String::from_utf8_lossy(&waited.stderr));
    let table = kubectl.ok(&["get", "gateway", "tls-gateway"], "").await;
    assert!(table.lines().nth(1).unwrap().split_whitespace().take(4).eq(["tls-gateway", "cilium", "10.0.10.1", "True"]), "{table}");
    kubectl.serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn label_annotate_patch_scale_diff_explain_and_create_work() {
    let Some(kubectl) = Kubectl::start() else { return };
    kubectl.ok(&["create", "-f", "-"], MANIFEST).await;
    kubectl.ok(&["label", "gateway", "tls-gateway", "a=b"], "").await;
    kubectl.ok(&["annotate", "service", "web", "x=y"], "").await;
    kubectl.ok(&["patch", "deployment", "web", "-p", r#"{"spec":{"replicas":3}}"#], "").await;
    kubectl.ok(&["scale", "deployment", "web", "--replicas=2"], "").await;
    assert!(kubectl.ok(&["get", "deployment", "web"], "").await.contains("0/2"));
    assert!(kubectl.ok(&["get", "gateway", "-l", "a=b"], "").await.contains("tls-gateway"));
    assert!(kubectl.ok(&["explain", "gateway.spec.listeners.tls"], "").await.contains("certificateRefs"));
    assert!(kubectl.ok(&["explain", "pod.spec.containers.image"], "").await.contains("image"));
    let changed = MANIFEST.replace("weight: 90", "weight: 50");
    let difference = kubectl.run(&["diff", "-f", "-"], &changed).await;
    assert_eq!(difference.status.code(), Some(1), "{}", String::from_utf8_lossy(&difference.stderr));
    assert!(String::from_utf8_lossy(&difference.stdout).contains("weight: 50"));
    kubectl.serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_prints_what_happens_to_a_pod() {
    let Some(kubectl) = Kubectl::start() else { return };
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {nodeName: worker, containers: [{name: c, image: agent}]}\n";
    kubectl.ok(&["create", "-f", "-"], pod).await;
    let mut watching = kubectl.command(&["get", "pods", "-w"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::new(watching.stdout.take().unwrap()));
    assert_eq!(header(&lines.next_line().await.unwrap().unwrap()), "NAME READY STATUS RESTARTS AGE");
    assert!(lines.next_line().await.unwrap().unwrap().contains("Pending"));
    let api: Api<Pod> = Api::default_namespaced(kubectl.client.clone());
    let running = json!({"status": {"phase": "Running", "containerStatuses": [{"name": "c", "ready": true, "restartCount": 0}]}});
    api.patch_status("p", &PatchParams::default(), &Patch::Merge(running)).await.unwrap();
    let line = lines.next_line().await.unwrap().unwrap();
    assert!(line.contains("1/1") && line.contains("Running"), "{line}");
    kubectl.ok(&["delete", "pod", "p", "--wait=false"], "").await;
    assert!(lines.next_line().await.unwrap().unwrap().contains("Terminating"));
    kubectl.ok(&["delete", "pod", "p", "--grace-period=0", "--force"], "").await;
    assert!(kubectl.refused(&["get", "pod", "p"], "").await.contains("not found"));
    watching.kill().await.unwrap();
    kubectl.serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_reach_the_terminal() {
    let Some(kubectl) = Kubectl::start() else { return };
    let port = MANIFEST.replace("port: 443\n", "port: 99999\n");
    let refused = kubectl.refused(&["apply", "-f", "-"], &port).await;
    assert!(refused.contains("spec.listeners[0].port") && refused.contains("99999"), "{refused}");
    let unknown = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndaata: {}\n";
    let refused = kubectl.refused(&["create", "-f", "-"], unknown).await;
    assert!(refused.contains("unknown field") && refused.contains("daata"), "{refused}");
    kubectl.serving.stop().await;
}
