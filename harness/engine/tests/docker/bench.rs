//! What it costs. Printed, not asserted: the machine decides.

use std::time::Instant;

use plumb_core::probe::Op;

use crate::{LIMIT, Laid, Named, ensure, run};

pub(crate) const TRIALS: &[Named] = &[("bench_round_trips_of_a_session_in_a_container", || run(round_trips()))];

const ROUNDS: usize = 2000;

async fn round_trips() -> Result<(), String> {
    let begun = Instant::now();
    let lab = Laid::with_client(&["eth0", "net0"]).await;
    let made = begun.elapsed();
    let begun = Instant::now();
    let session = lab.session(&lab.ground.client()).await;
    let opened = begun.elapsed();
    let mut took = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        session.ask(Op::Links, LIMIT).await.map_err(|error| error.to_string())?;
        took.push(begun.elapsed());
    }
    took.sort();
    let at = |share: f64| took[((ROUNDS - 1) as f64 * share) as usize];
    println!(
        "networks, image and client {made:?}; session {opened:?}; round trip p50 {:?}, p99 {:?}, max {:?}",
        at(0.5),
        at(0.99),
        at(1.0)
    );
    ensure(took.len() == ROUNDS, || "not all rounds were made".into())
}
