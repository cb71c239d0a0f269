//! `plumb images list`, as a user calls it: what it prints and how it ends. Nothing is fetched, and Docker is not asked.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::Path;
use std::process::{Command, Output};

const NODE: &str = "kindest/node:v1.30.13@sha256:397209b3d947d154f6641f2d0ce8d473732bd91c87d9575ade99049aa33cd648";

fn list(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plumb"));
    command.args(["images", "list"]).args(args);
    // What the user of this machine has set is no part of a test.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PLUMB_")) {
        command.env_remove(name);
    }
    command.env("PLUMB_SCENARIOS", Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios")).output().unwrap()
}

#[track_caller]
fn check(args: &[&str], status: i32, lines: &[&str]) -> String {
    let ended = list(args);
    let text = format!("{}{}", String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    assert_eq!(ended.status.code().unwrap(), status, "{text}");
    for line in lines {
        assert!(text.lines().any(|found| found.contains(line)), "`{line}` is not in:\n{text}");
    }
    text
}

#[test]
fn a_flag_set_has_three_images_and_a_node_image() {
    let text = check(
        &["--profile", "gateway-1.17.1", "--node-image", NODE],
        0,
        &[
            "# gateway-1.17.1: Cilium 1.17.1",
            "quay.io/cilium/cilium:v1.17.1@sha256:8969bfd9c87cbea91e40665f8ebe327268c99d844ca26d7d12165de07f702866",
            "quay.io/cilium/operator-generic:v1.17.1@sha256:628becaeb3e4742a1c36c4897721092375891b58bae2bfcae48bbf4420aaee97",
            "quay.io/cilium/cilium-envoy:v1.31.5-",
            NODE,
        ],
    );
    assert_eq!(text.lines().count(), 5, "{text}");
}

#[test]
fn an_upgrade_has_the_images_of_both_versions() {
    let text = check(
        &["--profile", "upgrade-1.17.1", "--node-image", NODE],
        0,
        &["Cilium 1.17.1, upgraded from 1.16.2", "quay.io/cilium/cilium:v1.17.1@", "quay.io/cilium/cilium:v1.16.2@"],
    );
    assert_eq!(text.lines().count(), 8, "{text}");
}

#[test]
fn without_a_profile_every_image_is_named_once() {
    let text = check(&["--node-image", NODE], 0, &["# l2-1.16.2: Cilium 1.16.2", "# newest: Cilium 1.20.0"]);
    assert_eq!(text.matches("quay.io/cilium/cilium:v1.17.1@").count(), 1, "{text}");
}

#[test]
fn a_version_nobody_knows_asks_for_its_chart() {
    let args = ["--profile", "gateway-1.17.1", "--cilium-version", "1.18.99"];
    check(
        &args,
        3,
        &["failed to name the images of Cilium 1.18.99: they are known for 1.16.2,", "hint: give the folder of its unpacked chart"],
    );
    check(&["--profile", "no-such"], 3, &["failed to"]);
}
