//! Kernels that are as Cilium wants them, and kernels that are not.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::super::State;
use super::*;

fn everything(value: &str) -> String {
    let features = [&BPF, &WIREGUARD].into_iter().chain(&REST);
    features.flat_map(|feature| feature.options).map(|option| format!("CONFIG_{option}={value}\n")).collect()
}

fn with_config(text: &str) -> Reading {
    Reading { release: "6.8.0".into(), config: Some(("/proc/config.gz".into(), text.into())), bpf_place: true, ..Reading::default() }
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn of(reading: &Reading, what: &str) -> State {
    reading.judge().into_iter().find(|finding| finding.what == what).unwrap().state
}

#[test]
fn a_kernel_with_everything_built_in_lacks_nothing() {
    let findings = with_config(&everything("y")).judge();
    assert_eq!(findings.len(), 8);
    assert!(findings.iter().all(|finding| finding.state.is_there()), "{findings:?}");
}

#[test]
fn an_option_that_is_not_set_needs_another_kernel() {
    let text = everything("y").replace("CONFIG_WIREGUARD=y", "# CONFIG_WIREGUARD is not set").replace("CONFIG_NET_CLS_ACT=y\n", "");
    let reading = with_config(&text);
    let State::Lacking { seen, cure, .. } = of(&reading, "kernel WireGuard") else { panic!("{reading:?}") };
    assert_eq!((seen.as_str(), cure.as_str()), ("CONFIG_WIREGUARD is not set in /proc/config.gz", "boot a kernel with CONFIG_WIREGUARD"));
    let State::Lacking { seen, .. } = of(&reading, "kernel BPF") else { panic!("{reading:?}") };
    assert_eq!(seen, "CONFIG_NET_CLS_ACT is not set in /proc/config.gz");
    assert!(of(&reading, "kernel vxlan").is_there());
}

#[test]
fn a_module_counts_when_it_can_be_loaded() {
    let mut reading = with_config(&everything("y").replace("CONFIG_WIREGUARD=y", "CONFIG_WIREGUARD=m"));
    let State::Lacking { seen, cure, .. } = of(&reading, "kernel WireGuard") else { panic!("{reading:?}") };
    assert_eq!(seen, "a module by /proc/config.gz, and there is none in /lib/modules/6.8.0");
    assert!(cure.contains("linux-modules-extra-6.8.0"), "{cure}");
    reading.listed = Some(names(&["wireguard"]));
    assert!(of(&reading, "kernel WireGuard").is_there());
}

#[test]
fn what_is_loaded_needs_no_configuration_to_tell() {
    let reading = Reading { loaded: names(&["wireguard"]), bpf_place: true, ..Reading::default() };
    assert_eq!(of(&reading, "kernel WireGuard"), State::There { seen: "in /sys/module/wireguard".into() });
    assert!(matches!(of(&reading, "kernel xt_socket"), State::Unknown { .. }));
    assert!(matches!(of(&reading, "kernel BPF"), State::Unknown { .. }));
}

/// `nf_tables` is loaded on every Debian; tables of the family `inet` are an option of it.
#[test]
fn a_module_that_is_loaded_without_an_option_that_is_wanted_is_not_enough() {
    let lacking = everything("m").replace("CONFIG_NF_TABLES_INET=m\n", "");
    let with = |text: &str| Reading { loaded: names(&["nf_tables"]), ..with_config(text) };
    let State::Lacking { seen, .. } = of(&with(&lacking), "kernel nf_tables") else { panic!("it is there") };
    assert_eq!(seen, "CONFIG_NF_TABLES_INET is not set in /proc/config.gz");
    assert_eq!(of(&with(&everything("m")), "kernel nf_tables"), State::There { seen: "in /sys/module/nf_tables".into() });
}

#[test]
fn without_a_configuration_the_lists_of_modules_tell() {
    let reading = Reading { release: "6.8.0".into(), listed: Some(names(&["vxlan"])), bpf_place: true, ..Reading::default() };
    assert!(of(&reading, "kernel vxlan").is_there());
    assert!(matches!(of(&reading, "kernel xt_socket"), State::Lacking { .. }));
}

#[test]
fn a_link_that_was_made_tells_and_one_that_was_not_is_no_proof() {
    let made = Reading { tried: Some(Ok(())), ..Reading::default() };
    assert!(of(&made, "kernel WireGuard").is_there());
    let refused = Reading { tried: Some(Err("unshare failed: Operation not permitted".into())), ..Reading::default() };
    let State::Unknown { seen, .. } = of(&refused, "kernel WireGuard") else { panic!("{refused:?}") };
    assert!(seen.ends_with("Operation not permitted"), "{seen}");
}

#[test]
fn without_a_place_for_its_file_system_there_is_no_bpf() {
    let reading = Reading { bpf_place: false, ..with_config(&everything("y")) };
    assert!(matches!(of(&reading, "kernel BPF"), State::Lacking { .. }));
}

#[test]
fn names_of_modules_are_those_of_sys_module() {
    let text = "kernel/drivers/net/wireguard/wireguard.ko.zst: kernel/lib/libcurve25519.ko\nkernel/net/netfilter/xt-x.ko\n";
    assert_eq!(modules(text).collect::<Vec<_>>(), ["wireguard", "xt_x"]);
}
