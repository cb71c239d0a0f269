//! A link set down and up again, as `ip link set` does it. Down takes its routes along, and IPv6 addresses and permanent neighbours too; the
//! kernel brings back only what belongs to the addresses it kept, so the rest is brought back from what `down` said was there.

use futures::TryStreamExt as _;
use plumb_core::probe::{KernelObject, LinkOp, LinkPower, LinkReport, OpError};
use rtnetlink::packet_route::link::LinkFlags;
use rtnetlink::{Handle, LinkUnspec};

use super::objects::{self, Object};
use crate::clock::monotonic_ns;

/// Answers [`plumb_core::probe::Op::Link`].
pub(crate) async fn set(op: LinkOp) -> Result<LinkReport, OpError> {
    let failed = |operation: String| move |error: rtnetlink::Error| OpError { operation, message: error.to_string() };
    let name = op.interface.as_str();
    let (connection, handle, _) =
        rtnetlink::new_connection().map_err(|error| OpError { operation: "open netlink".into(), message: error.to_string() })?;
    let connection = tokio::spawn(connection);
    let index = nix::net::if_::if_nametoindex(name)
        .map_err(|_| OpError { operation: format!("find interface {name}"), message: format!("there is none; there are {}", names()) })?;
    let list = || failed(format!("list what is on {name}"));
    let report = match op.power {
        LinkPower::Down => {
            let before = objects::of_link(&handle, index, name).await.map_err(list())?;
            already(&handle, index, name, LinkPower::Down).await?;
            power(&handle, index, name, LinkPower::Down).await?;
            LinkReport { at_ns: monotonic_ns(), objects: before.iter().map(|(object, words)| object.kept(words)).collect() }
        }
        LinkPower::Up => {
            already(&handle, index, name, LinkPower::Up).await?;
            power(&handle, index, name, LinkPower::Up).await?;
            let at_ns = monotonic_ns();
            let objects = bring_back(&handle, index, name, &op.restore).await?;
            LinkReport { at_ns, objects }
        }
    };
    connection.abort();
    Ok(report)
}

/// A link that is already as asked is none that this operation changed, and what follows would rest on a change.
async fn already(handle: &Handle, index: u32, name: &str, power: LinkPower) -> Result<(), OpError> {
    match (is_up(handle, index, name).await?, power) {
        (true, LinkPower::Up) => Err(OpError { operation: format!("set {name} up"), message: "it is up already".into() }),
        (false, LinkPower::Down) => Err(OpError { operation: format!("set {name} down"), message: "it is down already".into() }),
        _ => Ok(()),
    }
}

async fn power(handle: &Handle, index: u32, name: &str, power: LinkPower) -> Result<(), OpError> {
    let (word, message) = match power {
        LinkPower::Up => ("up", LinkUnspec::new_with_index(index).up()),
        LinkPower::Down => ("down", LinkUnspec::new_with_index(index).down()),
    };
    let operation = format!("set {name} {word}");
    let set = handle.link().set(message.build()).execute().await;
    set.map_err(|error| OpError { operation: operation.clone(), message: error.to_string() })?;
    if is_up(handle, index, name).await? == (power == LinkPower::Up) {
        Ok(())
    } else {
        Err(OpError { operation, message: "the kernel took it and the link is not so".into() })
    }
}

/// Makes what is missing, and says what that was.
async fn bring_back(handle: &Handle, index: u32, name: &str, kept: &[KernelObject]) -> Result<Vec<KernelObject>, OpError> {
    let listed = |error: rtnetlink::Error| OpError { operation: format!("list what is on {name}"), message: error.to_string() };
    let there = objects::of_link(handle, index, name).await.map_err(listed)?;
    let mut missing = Vec::new();
    for one in kept {
        let failed = |message: String| OpError { operation: format!("bring back {}", one.words), message };
        let object = Object::read(one).map_err(failed)?;
        if there.iter().all(|(found, _)| *found != object) {
            object.make(handle).await.map_err(|error| failed(error.to_string()))?;
            missing.push(one.clone());
        }
    }
    let now = objects::of_link(handle, index, name).await.map_err(listed)?;
    for one in kept {
        let failed = |message: String| OpError { operation: format!("bring back {}", one.words), message };
        let object = Object::read(one).map_err(failed)?;
        if now.iter().all(|(found, _)| *found != object) {
            return Err(failed("the kernel took it and it is not there".into()));
        }
    }
    Ok(missing)
}

async fn is_up(handle: &Handle, index: u32, name: &str) -> Result<bool, OpError> {
    let operation = || format!("look at {name}");
    let found = handle.link().get().match_index(index).execute().try_next().await;
    let link = found.map_err(|error| OpError { operation: operation(), message: error.to_string() })?;
    let link = link.ok_or_else(|| OpError { operation: operation(), message: "it is gone".into() })?;
    Ok(link.header.flags.contains(LinkFlags::Up))
}

fn names() -> String {
    let links = crate::links::links().unwrap_or_default();
    links.into_iter().map(|link| link.name).collect::<Vec<_>>().join(", ")
}
