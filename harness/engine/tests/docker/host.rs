//! The machine outside: what is not ours stays as it was.

use std::process::Command;

use crate::{Laid, Named, ensure, run};

pub(crate) const TRIALS: &[Named] = &[("the_machines_rules_and_routes_are_afterwards_as_before", || run(untouched()))];

/// The state of the machine as programs show it; `None` where a program is not here. Lines about other labs of this test program come
/// and go, and so do counters.
fn state() -> Vec<(String, Option<Vec<String>>)> {
    let commands: [&[&str]; 4] = [&["iptables-save"], &["ip", "rule"], &["ip", "-4", "route"], &["ip", "-br", "link"]];
    let shown = |words: &[&str]| {
        let output = Command::new(words[0]).args(&words[1..]).output().ok().filter(|output| output.status.success())?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let lines = text.lines().filter(|line| !line.starts_with('#') && !line.starts_with(':'));
        let lines = lines.filter(|line| !["br-", "veth", "docker0"].iter().any(|name| line.contains(name)));
        Some(lines.map(str::to_owned).collect())
    };
    commands.iter().map(|words| (words.join(" "), shown(words))).collect()
}

async fn untouched() -> Result<(), String> {
    let before = state();
    let seen = before.iter().filter(|(_, state)| state.is_some()).count();
    let lab = Laid::with_client(&["eth0", "net0"]).await;
    let during = state();
    drop(lab);
    let after = state();
    // While a lab is there, Docker's own rules name its bridges, and those only.
    ensure(before == during, || format!("before {before:?}, while a lab is there {during:?}"))?;
    ensure(before == after, || format!("before {before:?}, after {after:?}"))?;
    if seen == 0 { Err("none of iptables-save and ip is here: nothing was compared".into()) } else { Ok(()) }
}
