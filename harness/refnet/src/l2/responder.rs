//! Answers ARP for announced addresses, in user space: the kernel has the addresses only on `lo` and stays silent for them.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::arp::{self, BROADCAST, Mac};
use super::policy::Entry;
use crate::packet::{Direction, ETHERTYPE_ARP, Framing, PacketSocket, hardware_address};

/// Until when an address is answered; `None` = until it is taken away.
type Table = BTreeMap<Entry, Option<Instant>>;

/// The responder of a node.
#[derive(Debug, Clone)]
pub(super) struct Responder {
    table: Arc<Mutex<Table>>,
    ports: Arc<BTreeMap<String, Port>>,
}

/// An interface it listens on.
#[derive(Debug)]
struct Port {
    socket: PacketSocket,
    mac: Mac,
}

impl Responder {
    /// Listens on these interfaces until `cancel`.
    ///
    /// # Errors
    /// An interface is not there or has no hardware address, or packet sockets are not allowed.
    pub(super) fn open(interfaces: &[String], cancel: &CancellationToken) -> io::Result<Responder> {
        let mut ports = BTreeMap::new();
        for interface in interfaces {
            let mac = hardware_address(interface)?;
            let socket = PacketSocket::open(interface, ETHERTYPE_ARP, Framing::Ethernet)?;
            ports.insert(interface.clone(), Port { socket, mac });
        }
        let responder = Responder { table: Arc::default(), ports: Arc::new(ports) };
        for interface in interfaces {
            let (responder, interface) = (responder.clone(), interface.clone());
            let cancel = cancel.clone();
            tokio::spawn(async move { cancel.run_until_cancelled(responder.listen(&interface)).await });
        }
        Ok(responder)
    }

    /// Answers for `entries` until `until`, besides what is answered already; returns the ones that are new.
    pub(super) fn answer(&self, entries: &BTreeSet<Entry>, until: Option<Instant>) -> Vec<Entry> {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        entries.iter().filter(|&entry| table.insert(entry.clone(), until).is_none()).cloned().collect()
    }

    /// No longer answers for these.
    pub(super) fn silence(&self, entries: &BTreeSet<Entry>) {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.retain(|entry, _| !entries.contains(entry));
    }

    /// Says once to everybody that this node has the address (RFC 5227 section 3).
    ///
    /// # Errors
    /// The interface is gone or refuses the frame.
    pub(super) async fn announce(&self, entry: &Entry) -> io::Result<()> {
        match self.ports.get(&entry.interface) {
            Some(port) => port.socket.send(&arp::announcement(port.mac, entry.address), ETHERTYPE_ARP, BROADCAST).await,
            None => Ok(()),
        }
    }

    /// Answers requests until the interface goes away.
    async fn listen(&self, interface: &str) -> io::Result<()> {
        let Some(port) = self.ports.get(interface) else { return Ok(()) };
        let mut buffer = [0; 128];
        loop {
            let received = match port.socket.recv(&mut buffer).await {
                Ok(received) => received,
                // The link is down for now (a partition); the socket goes on when it comes back.
                Err(error) if error.raw_os_error() == Some(libc::ENETDOWN) => continue,
                Err(error) => return Err(error),
            };
            if received.direction == Direction::Out {
                continue;
            }
            let Some(request) = arp::who_has(&buffer[..received.len]) else { continue };
            // An ARP probe (RFC 5227) asks with sender 0.0.0.0 and is answered like any other.
            if self.answers(interface, request.target) && request.asker_ip != request.target {
                // A reply that cannot be sent is lost like any frame; the asker asks again.
                let _ = port.socket.send(&arp::reply(port.mac, &request), ETHERTYPE_ARP, request.asker_mac).await;
            }
        }
    }

    /// Looked up when the question is answered, not when it arrived: a node that was frozen does not speak from an old lease.
    fn answers(&self, interface: &str, address: Ipv4Addr) -> bool {
        let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = Entry { address, interface: interface.to_owned() };
        table.get(&entry).is_some_and(|until| until.is_none_or(|until| Instant::now() < until))
    }
}
