//! Which part of the agent does which operation.

use plumb_core::probe::{Done, Op, OpError};

use super::Context;
use crate::{client, disruption, hello, icmp, links, packet, serve};

/// Carries out one operation.
///
/// # Errors
/// It could not be carried out. What the network did is a result, not an error.
pub(crate) async fn run(op: Op, context: &Context) -> Result<Done, OpError> {
    match op {
        Op::Hello => Ok(Done::Hello(hello::hello())),
        Op::Http(op) => client::http::run(op, context).await.map(Done::Http),
        Op::Tls(op) => client::handshakes::run(op, context).await.map(Done::Tls),
        Op::Tcp(op) => client::l4::tcp(op, context).await.map(Done::L4),
        Op::Udp(op) => client::l4::udp(op, context).await.map(Done::L4),
        Op::Ping(op) => icmp::run(op, context).await.map(Done::Ping),
        Op::Arp(op) => packet::arp::ask(op, context).await.map(Done::Arp),
        Op::ArpWatch(op) => packet::arp::watch(op, context).await.map(Done::Arp),
        Op::Capture(op) => packet::capture::run(op, context).await.map(Done::Capture),
        Op::Load(op) => client::load::run(op, context).await.map(Done::Load),
        Op::Links => links::links().map(Done::Links),
        Op::Link(op) => disruption::link::set(op).await.map(Done::Link),
        Op::Cut(op) => disruption::drops::set(&op).map(Done::Cut),
        Op::Processes { process } => disruption::processes::list(&process).map(Done::Processes),
        Op::Signal(op) => disruption::processes::signal(&op).await.map(Done::Processes),
        Op::Serve(op) => serve::until_stopped(op, context).await,
        // The session answers this one itself.
        Op::Stop { .. } => Ok(Done::Stop),
    }
}
