//! What is done to nodes and to labs: pause, power cut, death of the supervisor, a user without rights.

use std::time::Duration;

use libtest_mimic::Trial;
use plumb_core::scenario::model::{ApiAction, NodeAction};
use plumb_refnet::lab::LabHandle;

use crate::world::{World, spec, trial};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("paused_node_answers_with_its_kernel_only", paused_node_answers_with_its_kernel_only),
        trial("stopped_node_is_off_the_wire_and_comes_back", stopped_node_is_off_the_wire_and_comes_back),
        trial("paused_api_answers_nobody_and_goes_on_where_it_stood", paused_api_answers_nobody_and_goes_on_where_it_stood),
        trial("nothing_is_left_when_the_supervisor_is_killed", nothing_is_left_when_the_supervisor_is_killed),
        trial("nothing_is_left_when_the_handle_is_dropped", nothing_is_left_when_the_handle_is_dropped),
        trial("impossible_topology_is_refused_with_its_reason", impossible_topology_is_refused_with_its_reason),
        trial("program_ends_with_its_connection", program_ends_with_its_connection),
        Trial::test("user_without_rights_makes_a_lab", || {
            without_rights();
            Ok(())
        }),
    ]
}

async fn paused_node_answers_with_its_kernel_only() {
    let world = World::start(&spec(&[], &[])).await;
    let one = world.pod("one", "worker", 8080).await;
    let before = monotonic_ns();
    let at = world.lab.node("worker", NodeAction::Pause).await.unwrap();
    assert!(before < at && at < monotonic_ns());
    assert_eq!(world.ping("client", "10.9.0.3", 1).await, 1);
    assert_eq!(world.echo("node/worker2", &one, 8080, "hello").await, 0);
    world.lab.node("worker", NodeAction::Resume).await.unwrap();
    assert_eq!(world.echo("node/worker2", &one, 8080, "hello").await, 1);
    world.close().await;
}

async fn stopped_node_is_off_the_wire_and_comes_back() {
    let world = World::start(&spec(&[], &[])).await;
    world.pod("one", "worker", 8080).await;
    world.lab.node("worker", NodeAction::Stop).await.unwrap();
    assert_eq!(world.ping("client", "10.9.0.3", 1).await, 0);
    assert!(world.lab.agent("node/worker").await.is_err());
    assert!(world.lab.agent("pod/default/one").await.is_err());
    world.lab.node("worker", NodeAction::Start).await.unwrap();
    assert_eq!(world.ping("client", "10.9.0.3", 1).await, 1);
    assert_eq!(world.ping("node/worker2", "10.244.1.1", 1).await, 1);
    assert!(world.lab.node("worker", NodeAction::Start).await.is_err());
    assert!(world.lab.node("nobody", NodeAction::Stop).await.is_err());
    world.close().await;
}

async fn paused_api_answers_nobody_and_goes_on_where_it_stood() {
    let world = World::start(&spec(&[], &[])).await;
    let one = world.pod("one", "worker", 8080).await;
    let answers = |limit| tokio::time::timeout(limit, world.client.apiserver_version());
    assert!(answers(Duration::from_secs(10)).await.is_ok());
    let before = monotonic_ns();
    let at = world.lab.api(ApiAction::Pause).await.unwrap();
    assert!(before < at && at < monotonic_ns());
    assert!(answers(Duration::from_secs(1)).await.is_err(), "it answers");
    assert_eq!(world.echo("node/worker2", &one, 8080, "hello").await, 1, "traffic needs no API");
    world.lab.api(ApiAction::Resume).await.unwrap();
    assert!(answers(Duration::from_secs(10)).await.is_ok());
    // Watches that stood still go on: nodes hear of a new Pod.
    let two = world.pod("two", "worker2", 8080).await;
    assert_eq!(world.echo("node/worker", &two, 8080, "hello").await, 1);
    world.close().await;
}

async fn nothing_is_left_when_the_supervisor_is_killed() {
    let world = World::start(&spec(&[], &[])).await;
    world.pod("one", "worker", 8080).await;
    let _session = world.agent("pod/default/one").await;
    let dir = world.dir.path().to_owned();
    assert!(processes(&dir) > 0);
    let pid = nix::unistd::Pid::from_raw(world.lab.pid().cast_signed());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    gone(&dir).await;
}

async fn nothing_is_left_when_the_handle_is_dropped() {
    let world = World::start(&spec(&[], &[])).await;
    let dir = world.dir.path().to_owned();
    drop(world.lab);
    gone(&dir).await;
}

async fn impossible_topology_is_refused_with_its_reason() {
    let mut impossible = spec(&[], &[]);
    impossible.networks[1].subnet = impossible.networks[0].subnet;
    let dir = tempfile::tempdir().unwrap();
    let error = LabHandle::start(&impossible, dir.path()).await.unwrap_err().to_string();
    assert!(error.contains("repeats a name or a subnet"), "{error}");
    gone(dir.path()).await;
}

async fn program_ends_with_its_connection() {
    let world = World::start(&spec(&[], &[])).await;
    let argv = Some(["sleep", "1000000"].map(str::to_owned).to_vec());
    let connection = world.lab.open("client", argv, Default::default()).await.unwrap();
    let sleeping = || async { world.run("client", &["sh", "-c", "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '"]).await };
    assert!(sleeping().await.contains("sleep 1000000"));
    drop(connection);
    let limit = std::time::Instant::now() + Duration::from_secs(5);
    while sleeping().await.replace("sh -c", "").matches("sleep 1000000").count() > 0 {
        assert!(std::time::Instant::now() < limit, "it still runs");
    }
    world.close().await;
}

/// Runs one of the trials again as nobody; nobody must be able to read this program.
fn without_rights() {
    if !nix::unistd::getuid().is_root() {
        // Every trial of this run was one.
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    std::os::unix::fs::chown(dir.path(), Some(65534), Some(65534)).unwrap();
    let program = dir.path().join("lab");
    std::fs::copy("/proc/self/exe", &program).unwrap();
    let output = std::process::Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"])
        .arg(&program)
        .args(["--exact", "pods_of_two_nodes_speak_in_ciphertext_only"])
        .env("TMPDIR", dir.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let complaint = String::from_utf8_lossy(&output.stderr);
    // Where user namespaces are not for everybody, the trial is ignored there too, which is what it should be.
    assert!(output.status.success(), "{said}{complaint}");
    assert!(said.contains("1 passed") || said.contains("1 ignored"), "{said}{complaint}");
}

/// Processes whose working directory is the lab's, in whatever pid namespace: every process of a lab is there.
fn processes(dir: &std::path::Path) -> usize {
    let entries = std::fs::read_dir("/proc").unwrap();
    entries
        .filter(|entry| entry.as_ref().is_ok_and(|entry| std::fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd == dir)))
        .count()
}

/// Waits until the kernel has ended every process of a lab, which it does without being asked twice.
async fn gone(dir: &std::path::Path) {
    let limit = std::time::Instant::now() + Duration::from_secs(5);
    while processes(dir) > 0 {
        assert!(std::time::Instant::now() < limit, "{} processes are left", processes(dir));
        tokio::task::yield_now().await;
    }
}

fn monotonic_ns() -> u64 {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).unwrap();
    now.tv_sec().cast_unsigned() * 1_000_000_000 + now.tv_nsec().cast_unsigned()
}
