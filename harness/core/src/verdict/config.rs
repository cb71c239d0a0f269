//! `config`: whether Cilium's configuration is what the flag set promises, and whether what had to stay has stayed.

use super::finding::Finding;
use super::phrases;
use super::run::Run;
use crate::cilium_config::promises;
use crate::evidence::{ConfigFact, Fact, Observation};
use crate::scenario::model::{ConfigExpect, ConfigProbe, Step};

/// A clock of whole seconds: an agent that began in the second the upgrade began in may have begun after it.
const SECOND: i64 = 1;

pub(super) fn config(run: &Run<'_>, step: &ConfigProbe) -> Finding {
    let Some((observation, fact)) = read(run, &step.id) else {
        return Finding::unknown("nothing recorded", phrases::NO_EVIDENCE);
    };
    let expect = step.expect.as_ref();
    let mut rests = vec![observation];
    let mut broken = Vec::new();
    let mut doubt = None;
    let mut said = Vec::new();
    if expect.is_some_and(|expect| expect.promised) {
        let upgrade = last_upgrade(run, observation);
        rests.extend(upgrade);
        let looked_at = promised(run, fact, upgrade, &mut broken);
        match looked_at {
            Ok(words) => said.push(words),
            Err(why) => doubt = Some(why),
        }
    }
    if let Some(unchanged) = expect.and_then(|expect| expect.unchanged.as_ref()) {
        match read(run, &unchanged.since) {
            None => doubt = Some(format!("{}: `{}`", phrases::NO_EVIDENCE, unchanged.since)),
            Some((earlier, before)) => {
                rests.push(earlier);
                let value = |fact: &ConfigFact, key: &str| fact.config.get(key).cloned().unwrap_or_else(|| "nothing".to_owned());
                let changed = unchanged.keys.iter().filter(|key| before.config.get(*key) != fact.config.get(*key));
                broken.extend(changed.map(|key| {
                    format!(
                        "{} `{key}` is {}, it was {} in `{}`",
                        phrases::CONFIG_CHANGED,
                        value(fact, key),
                        value(before, key),
                        unchanged.since
                    )
                }));
                said.push(format!("{} keys as in `{}`", unchanged.keys.len(), unchanged.since));
            }
        }
    }
    let seen = format!("{} keys in cilium-config, {} agents, image {}", fact.config.len(), fact.agents.len(), image(fact));
    let finding = match (broken.is_empty(), doubt) {
        (false, _) => Finding::fail(seen, broken.join("; ")),
        (true, Some(doubt)) => Finding::unknown(seen, doubt),
        (true, None) => Finding::pass(seen, said.join("; ")),
    };
    finding.resting_on(rests)
}

/// Says in words what was looked at, and puts what is not as promised into `broken`.
fn promised(run: &Run<'_>, fact: &ConfigFact, upgrade: Option<&Observation>, broken: &mut Vec<String>) -> Result<String, String> {
    let installed = if upgrade.is_some() { run.plan.goal() } else { run.plan.installed() };
    let (promises, others) = promises(installed.values);
    for promise in &promises {
        if let Some(found) = promise.broken_by(&fact.config) {
            let wanted = promise.value.as_deref().unwrap_or("off");
            broken.push(format!("{} {}: `{}` is {found}, expected {wanted}", phrases::NOT_IN_FORCE, promise.helm, promise.key));
        }
    }
    // Values may name another image on purpose; then its tag says nothing.
    let own_image = installed.values.keys().any(|key| matches!(key.as_str(), "image.override" | "image.tag" | "image.repository"));
    let tag = format!(":v{}", installed.profile.cilium);
    if !own_image && !tagged(image(fact), &tag) {
        broken.push(format!("{} {}, expected one tagged v{}", phrases::OTHER_IMAGE, image(fact), installed.profile.cilium));
    }
    if fact.agents.is_empty() {
        return Err("no agent was seen: nothing says what they run with".to_owned());
    }
    if let Some(upgrade) = upgrade {
        let began_s = run.unix_s(upgrade)?;
        let old: Vec<&str> = fact.agents.iter().filter(|(_, at)| **at < began_s - SECOND).map(|(pod, _)| pod.as_str()).collect();
        if !old.is_empty() {
            broken.push(format!("{}: {}", phrases::NOT_RESTARTED, old.join(", ")));
        }
    }
    let besides = if others.is_empty() { String::new() } else { format!(" (no key for {})", others.join(", ")) };
    Ok(format!("{} values of {} are in force{besides}", promises.len(), installed.profile.name))
}

/// `repository:v1.17.1` or `repository:v1.17.1@sha256:...`.
fn tagged(image: &str, tag: &str) -> bool {
    image.split('@').next().is_some_and(|name| name.ends_with(tag))
}

fn image(fact: &ConfigFact) -> &str {
    fact.images.get("cilium").map_or("unknown", String::as_str)
}

fn read<'a>(run: &Run<'a>, id: &str) -> Option<(&'a Observation, &'a ConfigFact)> {
    run.of(id).find_map(|observation| match &observation.fact {
        Fact::Config(fact) => Some((observation, fact)),
        _ => None,
    })
}

/// When the last `upgrade` step before an observation began.
fn last_upgrade<'a>(run: &Run<'a>, before: &Observation) -> Option<&'a Observation> {
    let upgrades: Vec<&str> =
        run.steps.iter().filter(|named| matches!(named.step, Step::Upgrade(_))).map(|named| named.id.as_str()).collect();
    let began = |observation: &&'a Observation| {
        observation.seq < before.seq
            && observation.fact == Fact::StepBegan
            && observation.step.as_deref().is_some_and(|step| upgrades.contains(&step))
    };
    run.observations.iter().rfind(began)
}

/// In words.
pub(super) fn expected(expect: &ConfigExpect) -> String {
    let mut parts = Vec::new();
    if expect.promised {
        parts.push("every value of the flag set is in force, on agents of its version".to_owned());
    }
    if let Some(unchanged) = &expect.unchanged {
        parts.push(format!("{} as in `{}`", unchanged.keys.join(", "), unchanged.since));
    }
    parts.join("; ")
}
