//! `distribution`: sampling begins when the route revision under test is the only one that answers on every path, then one sample of a
//! fixed size is taken, and never a second.

use std::time::Duration;

use plumb_core::evidence::{Fact, ProbeFact, Seen, Trouble, Whose};
use plumb_core::probe::{Connection, Detail, Done, HttpOp, HttpReport, Op, TallyRow};
use plumb_core::sampling::{Decision, Wait};
use plumb_core::scenario::model::{ConnectionUse, Distribution, Target};
use plumb_core::verdict::Blocker;

use super::http::request;
use super::probe::{Missed, Path, Patience};
use super::scene::Scene;

/// Requests of one look at a path: enough that two revisions side by side show.
const LOOK: u32 = 20;

/// Time between two looks, nanoseconds.
const PACE_NS: u64 = 50_000_000;

/// Workers of a sample.
const CONCURRENCY: u32 = 8;

pub(super) async fn distribution(scene: &Scene, step: &Distribution) -> Result<(), Trouble> {
    let paths = paths(scene, step).await?;
    if let Some(marker) = &step.marker {
        let waited = settled(scene, step, marker, &paths).await?;
        let held = waited.held;
        scene.record(Some(&step.id), Fact::Waited(waited));
        if !held {
            return Ok(());
        }
    }
    let split = plumb_core::statistics::Split::of(step);
    let split = split.map_err(|error| Trouble { whose: Whose::Author, operation: "size the sample".into(), message: error.to_string() })?;
    let samples = u32::try_from(split.samples).unwrap_or(u32::MAX);
    let mut whole = HttpReport::default();
    let share = samples.div_ceil(paths.len() as u32);
    let mut left = samples;
    for path in &paths {
        let count = share.min(left);
        left -= count;
        if count > 0 {
            add(&mut whole, tally(scene, step, path, count).await?);
        }
    }
    let target = paths.iter().map(|path| path.to.with_port(step.probe.port)).collect::<Vec<_>>().join(", ");
    let canary = Some(scene.canary(&step.id));
    scene.record(Some(&step.id), Fact::Probe(ProbeFact { attempt: 1, canary, target, seen: Seen::HttpTally(whole) }));
    Ok(())
}

/// Every way a request can take: each node in host network mode, unless one is named.
async fn paths(scene: &Scene, step: &Distribution) -> Result<Vec<Path>, Trouble> {
    let probe = &step.probe;
    let nodes = match (&probe.via, &probe.to) {
        (Some(node), _) => vec![Some(node.clone())],
        (None, Target::Gateway(_)) if scene.host_network() => scene.entry_nodes().into_iter().map(Some).collect(),
        _ => vec![None],
    };
    let mut paths = Vec::new();
    for node in nodes {
        let path = Path::find(scene, &probe.from, &probe.to, node.as_deref(), Patience::Wait).await;
        paths.push(path.map_err(|missed| missed.into_trouble("find the paths to sample"))?);
    }
    Ok(paths)
}

/// Waits until no path answers with another revision than the marker.
async fn settled(scene: &Scene, step: &Distribution, marker: &str, paths: &[Path]) -> Result<plumb_core::evidence::Waited, Trouble> {
    let whole_ms = scene.plan.budgets.revision_ms;
    let names: Vec<String> = paths.iter().map(|path| path.to.with_port(step.probe.port)).collect();
    let begin = |limit_ms: u64| Wait::eventually(scene.recorder.now_ns(), limit_ms * 1_000_000, PACE_NS);
    let mut known_silent = scene.silence().knows(&names);
    let mut wait = begin(scene.silence().limit_ms(&names, whole_ms));
    loop {
        let (mut outcome, mut silent) = (Ok(()), None);
        for (path, name) in paths.iter().zip(&names) {
            let report = tally(scene, step, path, LOOK).await?;
            if let Some(other) = report.tally.iter().find(|row| row.marker.as_deref() != Some(marker)) {
                silent = report.tally.iter().all(|row| row.status.is_none()).then(|| name.clone());
                outcome = Err(Blocker::Broken(format!("on {name} {}, expected revision {marker}", in_words(other))));
                break;
            }
        }
        if known_silent && silent.is_none() {
            // It has come to life: it gets the whole wait.
            (known_silent, wait) = (false, begin(whole_ms));
        }
        let now_ns = scene.recorder.now_ns();
        match wait.on_observation(now_ns, &outcome) {
            Decision::Continue { next_at_ns } => {
                // The pace of looks: a data plane cannot be watched.
                tokio::time::sleep(Duration::from_nanos(next_at_ns.saturating_sub(now_ns))).await;
            }
            ended @ (Decision::Held | Decision::Expired) => {
                scene.silence().learn(&names, silent, ended);
                return Ok(wait.waited(now_ns));
            }
        }
    }
}

fn in_words(row: &TallyRow) -> String {
    let revision = row.marker.as_deref().unwrap_or("none");
    match (row.status, row.failure) {
        (Some(status), _) => format!("{} requests got status {status} from revision {revision}", row.count),
        (None, failure) => format!("{} requests failed ({failure:?})", row.count),
    }
}

async fn tally(scene: &Scene, step: &Distribution, path: &Path, count: u32) -> Result<HttpReport, Trouble> {
    let connection = match step.connection {
        ConnectionUse::PerRequest => Connection::PerRequest,
        ConnectionUse::KeepAlive => Connection::KeepAlive,
    };
    let op = HttpOp {
        count,
        concurrency: CONCURRENCY.min(count),
        connection,
        detail: Detail::Tally,
        ..request(scene, &step.probe, &step.id, path, Patience::Wait)
    };
    // A tenth of a second a request is slow even on a machine that is busy with much else; a lab slower than that is lost.
    let limits = Duration::from_millis(op.timeout_ms + 100 * u64::from(count));
    let trouble = |missed: Missed| missed.into_trouble("sample the split");
    match path.ask(Op::Http(op), limits, "sample the split").await.map_err(trouble)?.done {
        Done::Http(report) => Ok(report),
        other => Err(trouble(path.confused("sample the split", &other))),
    }
}

fn add(whole: &mut HttpReport, part: HttpReport) {
    if whole.sent == 0 {
        whole.from_ns = part.from_ns;
    }
    whole.sent += part.sent;
    whole.answered += part.answered;
    whole.to_ns = whole.to_ns.max(part.to_ns);
    for row in part.tally {
        let same = |known: &&mut TallyRow| TallyRow { count: 0, ..(**known).clone() } == TallyRow { count: 0, ..row.clone() };
        match whole.tally.iter_mut().find(same) {
            Some(known) => known.count += row.count,
            None => whole.tally.push(row),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_sample_add_up() {
        let row = |backend: &str, count| TallyRow { status: Some(200), backend: Some(backend.into()), marker: None, failure: None, count };
        let part = |rows: Vec<TallyRow>| HttpReport { sent: 10, answered: 9, tally: rows, from_ns: 5, to_ns: 9 };
        let mut whole = HttpReport::default();
        add(&mut whole, part(vec![row("a", 8), row("b", 1)]));
        add(&mut whole, part(vec![row("a", 9)]));
        assert_eq!((whole.sent, whole.answered), (20, 18));
        assert_eq!(whole.tally, [row("a", 17), row("b", 1)]);
    }
}
