//! `cilium install`, `upgrade` and `uninstall`, and their argv.

use std::time::Duration;

use plumb_core::values::{Values, merge};
use serde_json::Value;

use super::{Chart, CiliumError, Digests, NAMESPACE, Ran, Target, Wanted, chart, command, rendered, text};

/// Limit of a command that does not wait for Pods: a chart to download and a hundred objects to create.
const COMMAND_LIMIT: Duration = Duration::from_secs(300);
/// Limit given to `cilium uninstall --wait`; 15 to 33 seconds were seen.
const UNINSTALL_LIMIT: Duration = Duration::from_secs(240);
/// The longest name of a cluster that Cilium takes (`pkg/clustermesh/types`, ClusterNameMaxLength).
const CLUSTER_NAME_MAX: usize = 32;

/// Installs Cilium. Returns once its objects are created; [`super::ready`] waits for them.
///
/// # Errors
/// See [`CiliumError`]; a chart of another version is refused before anything is done.
pub async fn install(target: &Target, wanted: &Wanted) -> Result<Ran, CiliumError> {
    prepare(target, wanted)?;
    command::run(target, &install_argv(target, wanted), COMMAND_LIMIT).await
}

/// Upgrades to a version or to other values. What an earlier command gave is forgotten (`--reset-values`): the file has everything.
/// Returns once the objects are changed; the agents restart only where their template changed.
///
/// # Errors
/// See [`CiliumError`]; a chart of another version is refused before anything is done.
pub async fn upgrade(target: &Target, wanted: &Wanted) -> Result<Ran, CiliumError> {
    prepare(target, wanted)?;
    command::run(target, &upgrade_argv(target, wanted), COMMAND_LIMIT).await
}

/// Takes Cilium away and waits until its Pods are gone. What its agents left in the nodes' kernels stays.
///
/// # Errors
/// See [`CiliumError`].
pub async fn uninstall(target: &Target) -> Result<Ran, CiliumError> {
    command::run(target, &uninstall_argv(target), UNINSTALL_LIMIT + Duration::from_secs(30)).await
}

/// The argv of [`install`].
pub fn install_argv(target: &Target, wanted: &Wanted) -> Vec<String> {
    with_chart(target, wanted, "install", &[])
}

/// The argv of [`upgrade`].
pub fn upgrade_argv(target: &Target, wanted: &Wanted) -> Vec<String> {
    with_chart(target, wanted, "upgrade", &["--reset-values"])
}

/// The argv of [`uninstall`].
pub fn uninstall_argv(target: &Target) -> Vec<String> {
    let mut argv = head(target, "uninstall");
    argv.extend(["--wait".into(), "--timeout".into(), format!("{}s", UNINSTALL_LIMIT.as_secs())]);
    argv
}

fn with_chart(target: &Target, wanted: &Wanted, verb: &str, further: &[&str]) -> Vec<String> {
    let mut argv = head(target, verb);
    match &wanted.chart {
        Chart::Directory(path) => argv.extend(["--chart-directory".into(), text(path)]),
        Chart::Version(version) => argv.extend(["--version".into(), version.clone()]),
    }
    argv.extend(["--values".into(), text(&target.values_file())]);
    argv.extend(further.iter().map(|word| (*word).to_owned()));
    argv
}

fn head(target: &Target, verb: &str) -> Vec<String> {
    let words = [&text(&target.program), verb, "--context", &target.context, "--namespace", NAMESPACE];
    words.map(str::to_owned).to_vec()
}

/// Checks the chart and writes the values file.
pub(super) fn prepare(target: &Target, wanted: &Wanted) -> Result<(), CiliumError> {
    chart::check(wanted)?;
    let path = target.values_file();
    std::fs::write(&path, rendered(&whole(target, wanted))).map_err(|source| CiliumError::Values { path, source })
}

/// Everything the release is made with: what the CLI would add for kind, the wanted values, and how images are named.
///
/// `cilium install` adds the first part by itself and `cilium upgrade` does not (cilium-cli `install/helm.go`, `install/upgrade.go`), so
/// that an upgrade that resets the values would change the address management of a live cluster. Written out, both say the same.
fn whole(target: &Target, wanted: &Wanted) -> Values {
    let mut values = Values::new();
    if target.context.starts_with("kind-") {
        let text = |text: &str| Value::from(text);
        values.insert("cluster.name".into(), text(cluster_name(&target.context)));
        values.insert("ipam.mode".into(), text("kubernetes"));
        values.insert("operator.replicas".into(), Value::from(1));
        values.insert("routingMode".into(), text("tunnel"));
        values.insert("tunnelProtocol".into(), text("vxlan"));
    }
    merge(&mut values, &wanted.values);
    if wanted.digests == Digests::Off {
        for image in ["image", "operator.image", "envoy.image", "hubble.relay.image", "certgen.image"] {
            values.insert(format!("{image}.useDigest"), Value::Bool(false));
            // Charts of a branch (`-ci` images) say `Always`, which asks a registry for what is in the node already.
            values.entry(format!("{image}.pullPolicy")).or_insert_with(|| Value::from("IfNotPresent"));
        }
    }
    values
}

fn cluster_name(context: &str) -> &str {
    let end = context.char_indices().nth(CLUSTER_NAME_MAX).map_or(context.len(), |(at, _)| at);
    context[..end].trim_end_matches(['-', '.', '_'])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use serde_json::json;

    fn target(folder: &std::path::Path, script: &str) -> Target {
        Target {
            program: crate::cilium::fake::program(folder, script),
            kubeconfig: folder.join("kubeconfig"),
            context: "kind-plumb-a".into(),
            folder: folder.to_owned(),
        }
    }

    fn wanted(chart: Chart) -> Wanted {
        let values = serde_json::from_value(json!({"kubeProxyReplacement": true, "operator.replicas": 2})).unwrap();
        Wanted { chart, version: "1.17.14".into(), values, digests: Digests::Off }
    }

    #[test]
    fn the_argv_of_each_command() {
        let target =
            Target { program: "/opt/cilium".into(), kubeconfig: "/run/k".into(), context: "kind-a".into(), folder: "/run/scratch".into() };
        let lines = [
            install_argv(&target, &wanted(Chart::Directory("/charts/cilium".into()))),
            install_argv(&target, &wanted(Chart::Version("1.17.14".into()))),
            upgrade_argv(&target, &wanted(Chart::Version("1.18.3".into()))),
            uninstall_argv(&target),
        ];
        insta::assert_snapshot!(lines.map(|argv| argv.join(" ")).join("\n"), @r"
        /opt/cilium install --context kind-a --namespace kube-system --chart-directory /charts/cilium --values /run/scratch/values.yaml
        /opt/cilium install --context kind-a --namespace kube-system --version 1.17.14 --values /run/scratch/values.yaml
        /opt/cilium upgrade --context kind-a --namespace kube-system --version 1.18.3 --values /run/scratch/values.yaml --reset-values
        /opt/cilium uninstall --context kind-a --namespace kube-system --wait --timeout 240s
        ");
    }

    #[tokio::test]
    async fn the_program_finds_the_whole_values_in_the_file_it_is_given() {
        let folder = tempfile::tempdir().unwrap();
        let target = target(folder.path(), "while [ $# -gt 1 ]; do [ \"$1\" = --values ] && cat \"$2\"; shift; done");
        let ran = install(&target, &wanted(Chart::Version("1.17.14".into()))).await.unwrap();
        insta::assert_snapshot!(ran.stdout, @r#"
        certgen:
          image:
            pullPolicy: "IfNotPresent"
            useDigest: false
        cluster:
          name: "kind-plumb-a"
        envoy:
          image:
            pullPolicy: "IfNotPresent"
            useDigest: false
        hubble:
          relay:
            image:
              pullPolicy: "IfNotPresent"
              useDigest: false
        image:
          pullPolicy: "IfNotPresent"
          useDigest: false
        ipam:
          mode: "kubernetes"
        kubeProxyReplacement: true
        operator:
          image:
            pullPolicy: "IfNotPresent"
            useDigest: false
          replicas: 2
        routingMode: "tunnel"
        tunnelProtocol: "vxlan"
        "#);
        let upgraded = upgrade(&target, &wanted(Chart::Version("1.17.14".into()))).await.unwrap();
        assert_eq!(upgraded.stdout, ran.stdout);
    }

    #[tokio::test]
    async fn a_chart_of_another_version_is_refused_before_the_program_runs() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("Chart.yaml"), "name: cilium\nversion: 1.17.1\n").unwrap();
        let target = target(folder.path(), "touch ran");
        let error = install(&target, &wanted(Chart::Directory(folder.path().to_owned()))).await.unwrap_err().to_string();
        assert!(error.contains("--cilium-version 1.17.1"), "{error}");
        assert!(!folder.path().join("ran").exists());
    }

    #[test]
    fn a_cluster_name_is_one_that_cilium_takes() {
        assert_eq!(cluster_name("kind-a"), "kind-a");
        assert_eq!(cluster_name("kind-plumb-20261122t004021z-abcdef"), "kind-plumb-20261122t004021z-abcd");
        assert_eq!(cluster_name("kind-plumb-aaaaaaaaaaaaaaaaaaaa-bcd"), "kind-plumb-aaaaaaaaaaaaaaaaaaaa");
    }
}
