//! Steps that are to break something and cannot, and what is left broken at the end of a run.

use std::path::Path;

use plumb_core::evidence::{self, Disruption, Fact};
use plumb_core::scenario::model::{ApiAction, CutFrom, LinkAction, PartitionAction};
use plumb_core::verdict::Outcome;

use crate::world::{Running, judge, library_with};
use crate::{Amiss, is, unknown_because};

fn scenario(steps: &str) -> String {
    format!(
        r"
format: 1
title: Something is broken
intent: Passes if and only if what needs nothing that is broken is answered
covers: [{{document: none, section: none, promise: none}}]
lab: {{workers: 2, networks: [eth0, net0], client: [eth0]}}
install: {{profile: gateway-1.17.1}}
backends:
  host-b: {{protocol: tcp, port: 7100, node: worker2, hostNetwork: true, service: {{type: None}}}}
steps:
{steps}
"
    )
}

fn run(out: &Path, steps: &str) -> Result<crate::world::Ended, Amiss> {
    let library = library_with(out, "broken", &scenario(steps));
    Ok(Running::start(&out.join("runs"), &["--scenarios", library.to_str().unwrap(), "run", "broken"], &[]).end()?)
}

const ANSWERS: &str =
    "  - l4: {id: answers, from: node/worker, to: {node: worker2}, port: 7100, protocol: tcp, expect: {answered: true}}\n";

/// A node that is frozen does nothing, and a process that is not there cannot be killed: neither says anything of the product.
pub(crate) fn without_effect() -> Result<(), Amiss> {
    let cases = [
        (
            "  - node: {node: worker, action: pause}\n  - link: {id: no-link, node: worker, interface: net0, action: down}\n",
            "node worker is paused",
        ),
        ("  - agent: {id: no-agent, node: worker, action: kill}\n", "no process of this name"),
        ("  - link: {id: no-cause, node: worker, interface: net0, action: up}\n", "no earlier step has set it down"),
    ];
    for (steps, cause) in cases {
        let out = tempfile::tempdir().unwrap();
        let ended = run(out.path(), &format!("{steps}{ANSWERS}"))?;
        unknown_because(&ended, cause)?;
        let (_, verdict) = judge(&ended.folder)?;
        is(&verdict, "answers", Outcome::Unknown, "there is no evidence of this check")?;
    }
    Ok(())
}

/// What nobody has undone is undone before the objects of the API are read, also when the run came to nothing.
pub(crate) fn left_broken() -> Result<(), Amiss> {
    let steps = "  - link: {node: worker, interface: net0, action: down}\n  - partition: {node: worker2, from: nodes, action: cut}\n  \
                 - api: {action: pause}\n  - eventually: {id: nobody-says, within: 1s, probe: {status: {resource: deployment/host-b, expect: {absent: true}}}}\n";
    let out = tempfile::tempdir().unwrap();
    let ended = run(out.path(), steps)?;
    unknown_because(&ended, "nobody-says")?;
    let (_, verdict) = judge(&ended.folder)?;
    // A request that was begun while the API stood still ends with it, or at its own limit.
    is(&verdict, "nobody-says", Outcome::Unknown, "deployment/default/host-b")?;
    let text = std::fs::read(ended.folder.join("evidence.jsonl")).unwrap();
    let reading = evidence::read(&text).map_err(|error| error.to_string())?;
    let undone =
        reading.observations.iter().filter(|observation| observation.step.is_none()).filter_map(|observation| match &observation.fact {
            Fact::Disrupted(disrupted) => Some(disrupted.what.clone()),
            _ => None,
        });
    let undone: Vec<Disruption> = undone.collect();
    let newest_first = [
        Disruption::Api { action: ApiAction::Resume },
        Disruption::Partition { from: CutFrom::Nodes, action: PartitionAction::Heal },
        Disruption::Link { interface: "net0".into(), action: LinkAction::Up },
    ];
    if undone != newest_first {
        return Err(format!("undone: {undone:?}").into());
    }
    let objects = std::fs::read_to_string(ended.folder.join("blobs/objects.json")).map_err(|error| error.to_string())?;
    if !objects.contains("host-b") {
        return Err("the objects were not read".to_owned().into());
    }
    Ok(())
}
