//! `plumb lint` on flag sets and `plumb docs`, as a user calls them: what they print and how they end.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

struct Ended {
    status: i32,
    out: String,
    err: String,
}

fn plumb(args: &[&str]) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plumb"));
    command.args(args).env("PLUMB_SCENARIOS", Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios"));
    // What the user of this machine has set is no part of a test.
    for name in ["PLUMB_VALUES", "PLUMB_CILIUM_VERSION"] {
        command.env_remove(name);
    }
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ended { status: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

fn file(folder: &tempfile::TempDir, name: &str, text: &str) -> String {
    let path: PathBuf = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[track_caller]
fn check(args: &[&str], status: i32, words: &[&str]) {
    let ended = plumb(args);
    assert_eq!(ended.status, status, "{args:?}:\n{}{}", ended.out, ended.err);
    for word in words {
        assert!(ended.out.contains(word) || ended.err.contains(word), "{args:?}: `{word}` is not in:\n{}{}", ended.out, ended.err);
    }
}

#[test]
fn flag_sets_are_looked_at_with_what_the_user_adds() {
    check(
        &["lint", "--profile", "gateway-1.17.1"],
        1,
        &["error list-element-replaces-list", "cure", "source", "1 error, 0 warnings, 1 note"],
    );
    check(&["lint", "--profile", "newest"], 0, &["0 errors, 0 warnings, 0 notes"]);
    check(&["lint", "--profile", "newest", "--set", "operator.replicas=9"], 1, &["operator-replicas", "asMeant + --set"]);
    check(&["lint", "--profile", "newest", "--cilium-version", "1.16.2"], 1, &["tls-route-version"]);
    check(
        &["lint", "--profile", "upgrade-1.17.1", "--cli-version", "v0.16.21"],
        1,
        &["error cli-upgrade-forgets-values", "0.16.21 resets"],
    );
    check(&["lint", "--profile", "upgrade-1.17.1", "--cli-version", "v0.18.3"], 0, &[]);
    check(&["lint", "--profile", "no-such"], 3, &["find a profile named `no-such`"]);
    check(&["lint", "--profile", "newest", "--cilium-version", "new"], 3, &["--cilium-version"]);
    check(&["lint", "--json"], 3, &["choose a flag set"]);
}

#[test]
fn a_values_file_and_manifests_of_the_user_are_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    let values = "kubeProxyReplacement: true\ngatewayAPI: {enabled: true, hostNetwork: {enabled: true}}\nencryption: {enabled: yes, typ: wireguard}\n";
    let values = file(&folder, "values.yaml", values);
    let gateway = |name: &str| {
        format!(
            "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {{name: {name}}}\nspec: {{listeners: [{{name: a, port: 8443}}]}}\n"
        )
    };
    let objects = file(&folder, "gateways.yaml", &format!("{}---\n{}", gateway("a"), gateway("b")));
    let args = ["lint", "--values", &values, "--cilium-version", "1.17.1"];
    check(&args, 1, &["values.yaml: encryption.typ\n", "did you mean encryption.type?", "refuses \"yes\""]);
    let ended = plumb(&[&args[..], &["--json", &objects]].concat());
    let report: Value = serde_json::from_str(&ended.out).unwrap();
    let finding = report["findings"].as_array().unwrap().iter().find(|finding| finding["rule"] == "host-network-one-port").unwrap();
    assert_eq!((&report["format"], &finding["severity"]), (&Value::from(1), &Value::from("error")));
    assert_eq!(finding["place"]["object"]["object"], "Gateway/b");
    check(&["lint", "--values", "no-such.yaml"], 3, &["no-such.yaml"]);
}

const CUT: &str = "\
# Install

```bash
cilium install --version 1.17.1 \\
    # the Gateway API
    --set kubeProxyReplacement=true \\
    --set gatewayAPI.enabled=true
```
";

#[test]
fn a_document_that_misleads_ends_with_one_and_a_sound_one_with_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let cut = file(&folder, "cut.md", CUT);
    check(
        &["docs", &cut],
        1,
        &["     4  cilium install --version 1.17.1\n", "<- command not found", "passes   0 of 2 values", "cut.md:5\n    this comment ends"],
    );
    let sound = "# Install\n\n```bash\ncilium upgrade --version 1.17.1 --reuse-values \\\n    --set kubeProxyReplacement=true \\\n    --set gatewayAPI.enabled=true\ncilium status --wait\n```\n";
    let sound = file(&folder, "sound.md", sound);
    check(&["docs", &sound], 0, &["profile  upgrade-1.17.1: what is meant is the profile as written", "0 errors, 0 warnings, 0 notes"]);
    check(&["docs", &sound, "--profile", "newest"], 0, &["profile  none", "note no-profile"]);
    let prose = file(&folder, "prose.md", "# Nothing\n\nto run.\n");
    check(&["docs", &prose], 4, &["0 commands, 0 installations"]);
    check(&["docs", "no-such.md"], 3, &["read no-such.md"]);
    let report: Value = serde_json::from_str(&plumb(&["docs", &cut, "--json"]).out).unwrap();
    assert_eq!(report["format"], 1);
    assert_eq!(report["commands"][1]["notFound"], true);
    assert_eq!(report["installations"][0]["passes"], serde_json::json!({}));
    assert_eq!(report["installations"][0]["means"], serde_json::json!({"gatewayAPI.enabled": true, "kubeProxyReplacement": true}));
    assert!(
        report["findings"]
            .as_array()
            .unwrap()
            .iter()
            .any(|finding| finding["rule"] == "values-not-passed" && finding["place"]["line"]["line"] == 4)
    );
}
