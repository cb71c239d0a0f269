//! The agent protocol: what is asked of an agent and what it answers, as values.
//!
//! One JSON value a line. The engine writes [`Request`]s to the agent's standard input; the agent writes [`Reply`]s to its
//! standard output and nothing else. Requests run side by side; replies carry the id of their request. A request ends with
//! exactly one [`Body::Done`] or [`Body::Failed`]. Long ones ([`Op::Capture`], [`Op::ArpWatch`], [`Op::Load`], [`Op::Serve`])
//! first say [`Body::Started`] when they are live, and end on [`Op::Stop`] or when their own limit is reached. When standard
//! input ends, the agent ends everything and exits.
//!
//! These types also are what evidence is made of (see [`crate::evidence`]): an agent observes and never judges.
//! Times are nanoseconds of the agent's `CLOCK_MONOTONIC` unless a name says otherwise; [`Hello`] relates it to the wall clock.

mod http;

mod tls;

mod transport;

mod wire;

mod place;

mod disruption;

pub use disruption::*;
pub use http::*;
pub use place::*;
pub use tls::*;
pub use transport::*;
pub use wire::*;

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// Version of this protocol; an engine refuses an agent whose major differs.
pub const PROTOCOL: u32 = 1;

/// The exporter label (RFC 5705 section 4 reserves the `EXPERIMENTAL` prefix for use without registration). Context is absent, length 32 bytes.
pub const EXPORTER_LABEL: &[u8] = b"EXPERIMENTAL plumbline session";

/// Request header that carries a canary to a backend; the echo returns it in [`Seen::headers`].
pub const CANARY_HEADER: &str = "x-plumb-canary";

/// Header a route adds (to the request or to the response) to say which revision of it decided; see [`TallyRow::marker`].
pub const REVISION_HEADER: &str = "x-plumb-revision";

/// One line to the agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Chosen by the engine, unique within the session.
    pub id: u64,
    /// What to do.
    pub op: Op,
}

/// One line from the agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    /// The request this belongs to.
    pub id: u64,
    /// What is said.
    pub body: Body,
}

/// What a reply says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Body {
    /// A long operation is live from now on (the socket is bound, the filter is attached, the server listens).
    Started(Started),
    /// One partial result.
    Item(Item),
    /// The operation ended and this is what it saw in all.
    Done(Done),
    /// The operation could not be carried out; nothing is known about the network from it.
    Failed(OpError),
}

/// What the agent can be asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Op {
    /// Who and where are you.
    Hello,
    /// HTTP/1.1 or HTTP/2 requests, with or without TLS.
    Http(HttpOp),
    /// TLS handshakes without a request.
    Tls(TlsOp),
    /// TCP connections that send a payload and expect it back.
    Tcp(L4Op),
    /// UDP datagrams that expect to come back.
    Udp(L4Op),
    /// ICMP and ICMPv6 echo.
    Ping(PingOp),
    /// ARP who-has (RFC 826), every answer collected.
    Arp(ArpOp),
    /// Every ARP frame seen on an interface, until stopped.
    ArpWatch(ArpWatchOp),
    /// Frames of an interface, until stopped.
    Capture(CaptureOp),
    /// Continuous traffic with sequence numbers, until stopped.
    Load(LoadOp),
    /// The links and addresses of this namespace.
    Links,
    /// Set a link of this namespace up or down.
    Link(LinkOp),
    /// Drop packets from and to some addresses, or no longer.
    Cut(CutOp),
    /// Processes of a name that share this network namespace.
    Processes {
        /// The name the kernel has of them.
        process: String,
    },
    /// Send a signal to every one of them, and see its effect.
    Signal(SignalOp),
    /// Run a server in this session, until stopped.
    Serve(ServeOp),
    /// End a long operation; it answers with its own `Done`, then this one does.
    Stop {
        /// The request to end.
        of: u64,
    },
}

/// A long operation is live.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Started {
    /// When, in nanoseconds of `CLOCK_MONOTONIC`.
    pub at_ns: u64,
    /// Where a server listens; empty for everything else.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub listening: Vec<SocketAddr>,
}

/// Partial results.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Item {
    /// The result of one request of an [`HttpOp`] with [`Detail::Full`].
    Http(HttpResult),
    /// One ARP frame of an [`Op::Arp`] or [`Op::ArpWatch`].
    Arp(ArpFrame),
    /// A piece of a pcapng file (base64), in order.
    Pcapng {
        /// Standard base64 with padding.
        base64: String,
    },
}

/// How an operation ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Done {
    /// Answer to [`Op::Hello`].
    Hello(Hello),
    /// Answer to [`Op::Http`].
    Http(HttpReport),
    /// Answer to [`Op::Tls`].
    Tls(TlsReport),
    /// Answer to [`Op::Tcp`] and [`Op::Udp`].
    L4(L4Report),
    /// Answer to [`Op::Ping`].
    Ping(PingReport),
    /// Answer to [`Op::Arp`] and [`Op::ArpWatch`].
    Arp(ArpReport),
    /// Answer to [`Op::Capture`].
    Capture(CaptureSummary),
    /// Answer to [`Op::Load`].
    Load(LoadReport),
    /// Answer to [`Op::Links`].
    Links(Vec<Link>),
    /// Answer to [`Op::Link`].
    Link(LinkReport),
    /// Answer to [`Op::Cut`].
    Cut(CutReport),
    /// Answer to [`Op::Processes`] and [`Op::Signal`].
    Processes(ProcessReport),
    /// Answer to [`Op::Serve`].
    Serve {
        /// Connections accepted.
        connections: u64,
    },
    /// Answer to [`Op::Stop`].
    Stop,
}

/// Why an operation could not be carried out: the lab's trouble, never the product's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OpError {
    /// What was tried, for example `bind AF_PACKET socket to eth0`.
    pub operation: String,
    /// What came back.
    pub message: String,
}

/// Who and where an agent is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hello {
    /// [`PROTOCOL`] of the agent.
    pub protocol: u32,
    /// Version of the program.
    pub version: String,
    /// Process id in its own pid namespace.
    pub pid: u32,
    /// Kernel's boot id: agents that share it share `CLOCK_MONOTONIC`.
    pub boot_id: String,
    /// `CLOCK_MONOTONIC` when this was said, nanoseconds.
    pub monotonic_ns: u64,
    /// `CLOCK_REALTIME` when this was said, nanoseconds since 1970.
    pub unix_ns: u64,
    /// Abilities found by trying: `packet` (AF_PACKET), `icmp`, `netAdmin`.
    pub abilities: Vec<String>,
}
