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

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

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

/// HTTP requests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HttpOp {
    /// Where the connection goes; names are never resolved.
    pub target: SocketAddr,
    /// Source address, if it matters.
    #[serde(default)]
    pub source: Option<IpAddr>,
    /// The `Host` header or `:authority`.
    pub host: String,
    /// Path and query.
    #[serde(default = "slash")]
    pub path: String,
    /// Method.
    #[serde(default = "get")]
    pub method: String,
    /// Further request headers, sent as given.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// TLS settings; absent = plain TCP.
    #[serde(default)]
    pub tls: Option<ClientTls>,
    /// HTTP version to speak; over TLS it is what ALPN may choose from.
    #[serde(default)]
    pub version: HttpVersion,
    /// Bytes of request body (`x` repeated); 0 = none.
    #[serde(default)]
    pub body_bytes: u32,
    /// How many requests in all.
    #[serde(default = "one")]
    pub count: u32,
    /// How many at a time.
    #[serde(default = "one")]
    pub concurrency: u32,
    /// Requests a second over all workers; absent = as fast as answers come.
    #[serde(default)]
    pub rate_per_s: Option<f64>,
    /// When a connection is used again.
    #[serde(default)]
    pub connection: Connection,
    /// Limit of one request, connect included, in milliseconds.
    #[serde(default = "five_seconds")]
    pub timeout_ms: u64,
    /// What comes back.
    #[serde(default)]
    pub detail: Detail,
}

/// HTTP version.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum HttpVersion {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2 (prior knowledge without TLS).
    Http2,
}

/// When a connection is used again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Connection {
    /// A new connection for each request.
    #[default]
    PerRequest,
    /// One connection a worker, opened again when the peer closes it.
    KeepAlive,
}

/// How much of each request comes back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Detail {
    /// An [`Item::Http`] for each request, and the tally.
    #[default]
    Full,
    /// The tally only.
    Tally,
}

/// TLS as a client.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClientTls {
    /// The server name to send; absent = send none.
    #[serde(default)]
    pub sni: Option<String>,
    /// Protocols to offer by ALPN, in order; empty = no extension.
    #[serde(default)]
    pub alpn: Vec<String>,
    /// PEM of the authorities to check the chain against. The outcome is reported in [`TlsSession::trust`], never enforced: the session goes on.
    #[serde(default)]
    pub roots_pem: Option<String>,
    /// The name to check the leaf for; absent = the SNI.
    #[serde(default)]
    pub verify_name: Option<String>,
    /// The highest version to offer: `1.2` or `1.3` (default).
    #[serde(default)]
    pub max_version: Option<String>,
}

/// What an [`Op::Http`] saw.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpReport {
    /// Requests sent.
    pub sent: u32,
    /// Requests answered with any status.
    pub answered: u32,
    /// Counted by what distinguishes them.
    pub tally: Vec<TallyRow>,
    /// When the first was sent and the last ended.
    pub from_ns: u64,
    /// See `from_ns`.
    pub to_ns: u64,
}

/// So many requests ended the same way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TallyRow {
    /// Status code; absent for failures.
    pub status: Option<u16>,
    /// Backend id from the echo.
    pub backend: Option<String>,
    /// Value of [`REVISION_HEADER`] in the response, or as the backend saw it in the request.
    pub marker: Option<String>,
    /// Class of a failure.
    pub failure: Option<FailureClass>,
    /// How many.
    pub count: u32,
}

/// One request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpResult {
    /// Number within the operation, from 0.
    pub n: u32,
    /// When it began.
    pub at_ns: u64,
    /// How long each phase took.
    pub phases: Phases,
    /// The client's own address, once connected.
    pub local: Option<SocketAddr>,
    /// The answer or the failure.
    pub outcome: HttpOutcome,
}

/// Durations in microseconds; absent = the phase was not reached or not needed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Phases {
    /// TCP connect.
    pub connect_us: Option<u64>,
    /// TLS handshake.
    pub tls_us: Option<u64>,
    /// Request sent to response head.
    pub first_byte_us: Option<u64>,
    /// Everything.
    pub total_us: u64,
}

/// How one request ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum HttpOutcome {
    /// A response.
    Answer(Box<HttpAnswer>),
    /// None.
    Failed(Failure),
}

/// A response.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpAnswer {
    /// Status code.
    pub status: u16,
    /// Response headers in order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body's echo, where the body is one of ours.
    pub echo: Option<Echo>,
    /// The first 512 bytes of any other body, lossy UTF-8.
    pub body: Option<String>,
    /// The client's TLS session.
    pub tls: Option<TlsSession>,
}

/// What one of our backends says of itself and of what it saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Echo {
    /// Backend id.
    pub backend: String,
    /// Pod name.
    pub pod: String,
    /// Node name.
    pub node: String,
    /// What it saw.
    pub seen: Seen,
}

/// A request as the backend saw it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Seen {
    /// Peer of the connection.
    pub peer: SocketAddr,
    /// Own address of the connection.
    pub local: SocketAddr,
    /// `HTTP/1.1`, `HTTP/2.0`.
    pub version: String,
    /// Method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Request headers, names in lower case, repeated ones joined with `, `. `:authority` appears as `host`.
    pub headers: BTreeMap<String, String>,
    /// The TLS session as the backend holds it; absent = the backend got plain text.
    pub tls: Option<ServerTls>,
}

/// A TLS session as its server sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServerTls {
    /// The server name the client sent.
    pub sni: Option<String>,
    /// The protocol that was chosen.
    pub alpn: Option<String>,
    /// `1.2` or `1.3`.
    pub version: String,
    /// Exported keying material ([`EXPORTER_LABEL`]), hex.
    pub exported: String,
    /// SHA-256 of the leaf certificate it served, hex.
    pub leaf_sha256: String,
}

/// A TLS session as its client sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TlsSession {
    /// `1.2` or `1.3`.
    pub version: String,
    /// The protocol that was chosen.
    pub alpn: Option<String>,
    /// IANA name of the suite.
    pub cipher: String,
    /// Exported keying material ([`EXPORTER_LABEL`]), hex.
    pub exported: String,
    /// The chain as served, leaf first.
    pub chain: Vec<Certificate>,
    /// Whether the chain would have been accepted.
    pub trust: Trust,
}

/// A certificate as it was served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Certificate {
    /// SHA-256 of the DER, lower-case hex.
    pub sha256: String,
    /// Subject (RFC 4514).
    pub subject: String,
    /// Issuer (RFC 4514).
    pub issuer: String,
    /// DNS names and addresses of subjectAltName.
    pub sans: Vec<String>,
    /// Seconds since 1970.
    pub not_before: i64,
    /// Seconds since 1970.
    pub not_after: i64,
}

/// Outcome of checking a chain; the session was kept whatever it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Trust {
    /// No roots were given.
    NotChecked,
    /// Accepted for the name.
    Trusted,
    /// Refused, and why, in rustls's words.
    Untrusted(String),
}

/// A connection or request that came to nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// What kind.
    pub class: FailureClass,
    /// `connect`, `tls`, `request`, `response`.
    pub phase: String,
    /// The description of a TLS alert, for example `unrecognized_name` (RFC 8446 section 6).
    pub alert: Option<String>,
    /// In words.
    pub detail: String,
}

/// Kinds of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum FailureClass {
    /// RST to the SYN.
    Refused,
    /// RST later on.
    Reset,
    /// The peer closed without an answer.
    Closed,
    /// No answer within the limit.
    Timeout,
    /// ICMP or routing error.
    Unreachable,
    /// A TLS alert from the peer.
    Alert,
    /// The peer did not speak the protocol.
    Protocol,
}

/// TLS handshakes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TlsOp {
    /// Where the connection goes.
    pub target: SocketAddr,
    /// Source address, if it matters.
    #[serde(default)]
    pub source: Option<IpAddr>,
    /// TLS settings.
    pub tls: ClientTls,
    /// How many handshakes, one after another.
    #[serde(default = "one")]
    pub count: u32,
    /// Limit of one, in milliseconds.
    #[serde(default = "five_seconds")]
    pub timeout_ms: u64,
}

/// What an [`Op::Tls`] saw.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TlsReport {
    /// One an attempt.
    pub attempts: Vec<TlsAttempt>,
}

/// One handshake.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TlsAttempt {
    /// When it began.
    pub at_ns: u64,
    /// How long each phase took.
    pub phases: Phases,
    /// The session or the failure.
    pub outcome: TlsOutcome,
}

/// How a handshake ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TlsOutcome {
    /// A session.
    Session(Box<TlsSession>),
    /// None.
    Failed(Failure),
}

/// TCP or UDP echo.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct L4Op {
    /// Where it goes.
    pub target: SocketAddr,
    /// Source address, if it matters.
    #[serde(default)]
    pub source: Option<IpAddr>,
    /// Payload, sent as it is and expected back.
    pub payload: String,
    /// How many, one after another; TCP: a new connection each.
    #[serde(default = "one")]
    pub count: u32,
    /// Pause between two, in milliseconds.
    #[serde(default)]
    pub interval_ms: u64,
    /// Limit of one, in milliseconds.
    #[serde(default = "one_second")]
    pub timeout_ms: u64,
}

/// What an [`Op::Tcp`] or [`Op::Udp`] saw.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct L4Report {
    /// One an attempt.
    pub attempts: Vec<L4Attempt>,
}

/// One connection or datagram.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct L4Attempt {
    /// When it began.
    pub at_ns: u64,
    /// Own address.
    pub local: Option<SocketAddr>,
    /// Round trip in microseconds when the payload came back whole.
    pub rtt_us: Option<u64>,
    /// Otherwise, why not.
    pub failure: Option<Failure>,
}

/// ICMP echo.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PingOp {
    /// Where it goes.
    pub target: IpAddr,
    /// Source address, if it matters.
    #[serde(default)]
    pub source: Option<IpAddr>,
    /// Bytes of ICMP payload (the IP packet is 28 bytes longer for IPv4, 48 for IPv6).
    #[serde(default = "ping_size")]
    pub size: u16,
    /// Forbid fragmentation.
    #[serde(default)]
    pub dont_fragment: bool,
    /// How many.
    #[serde(default = "one")]
    pub count: u32,
    /// Pause between two, in milliseconds.
    #[serde(default)]
    pub interval_ms: u64,
    /// Limit of one, in milliseconds.
    #[serde(default = "one_second")]
    pub timeout_ms: u64,
}

/// What an [`Op::Ping`] saw.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PingReport {
    /// One an echo request.
    pub attempts: Vec<PingAttempt>,
}

/// One echo request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PingAttempt {
    /// When it was sent.
    pub at_ns: u64,
    /// What came of it.
    pub outcome: PingOutcome,
}

/// What came of one echo request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PingOutcome {
    /// An echo reply.
    Reply {
        /// Round trip, microseconds.
        rtt_us: u64,
    },
    /// Fragmentation needed (RFC 792, RFC 1191) or packet too big (RFC 4443), from the path or the own kernel.
    FragmentationNeeded {
        /// Next-hop MTU, if told.
        mtu: Option<u32>,
    },
    /// Time exceeded.
    TtlExceeded,
    /// Any other ICMP error or a local one.
    Unreachable {
        /// In words.
        detail: String,
    },
    /// Nothing within the limit.
    Timeout,
}

/// ARP requests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ArpOp {
    /// Interface to ask on.
    pub interface: String,
    /// The address asked for.
    pub target: std::net::Ipv4Addr,
    /// Sender address of the request; absent = the interface's first.
    #[serde(default)]
    pub source: Option<std::net::Ipv4Addr>,
    /// How many requests; 0 = until stopped.
    #[serde(default = "one")]
    pub count: u32,
    /// Pause between two, in milliseconds.
    #[serde(default = "twenty_ms")]
    pub interval_ms: u64,
    /// How long to collect answers after the last request, in milliseconds. All answers are collected, not the first alone.
    #[serde(default = "two_hundred_ms")]
    pub window_ms: u64,
}

/// Watch ARP without asking.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ArpWatchOp {
    /// Interface to listen on.
    pub interface: String,
    /// Only frames whose sender or target protocol address is this.
    #[serde(default)]
    pub address: Option<std::net::Ipv4Addr>,
}

/// What an [`Op::Arp`] or [`Op::ArpWatch`] saw.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ArpReport {
    /// Times of the requests that were sent.
    pub asked_ns: Vec<u64>,
    /// Every frame about the address that came in (own frames excluded), in order. Also sent as items while running.
    pub frames: Vec<ArpFrame>,
    /// Frames the kernel dropped before the agent read them.
    pub dropped: u64,
    /// When listening began and ended.
    pub from_ns: u64,
    /// See `from_ns`.
    pub to_ns: u64,
}

/// One ARP frame (RFC 826; gratuitous: RFC 5227 section 3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ArpFrame {
    /// When the kernel saw it.
    pub at_ns: u64,
    /// 1 = request, 2 = reply.
    pub operation: u16,
    /// Ethernet source, `aa:bb:cc:dd:ee:ff`.
    pub eth_src: String,
    /// Ethernet destination.
    pub eth_dst: String,
    /// Sender hardware address.
    pub sender_mac: String,
    /// Sender protocol address.
    pub sender_ip: std::net::Ipv4Addr,
    /// Target hardware address.
    pub target_mac: String,
    /// Target protocol address.
    pub target_ip: std::net::Ipv4Addr,
}

impl ArpFrame {
    /// Whether sender and target protocol address are the same: an announcement, request or reply alike (RFC 5227 section 3).
    pub fn is_gratuitous(&self) -> bool {
        self.sender_ip == self.target_ip
    }
}

/// Frames of an interface.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CaptureOp {
    /// Interface to listen on, in promiscuous mode.
    pub interface: String,
    /// Only frames that match one of these; empty = all.
    #[serde(default)]
    pub filter: Vec<FrameFilter>,
    /// Bytes kept of each frame.
    #[serde(default = "snaplen")]
    pub snaplen: u32,
    /// Payloads to look for.
    #[serde(default)]
    pub canaries: Vec<Canary>,
    /// UDP ports to decode as VXLAN (RFC 7348).
    #[serde(default = "vxlan_ports")]
    pub vxlan_ports: Vec<u16>,
    /// UDP ports to decode as WireGuard.
    #[serde(default = "wireguard_ports")]
    pub wireguard_ports: Vec<u16>,
    /// Send the frames as pcapng items when it ends, up to so many bytes; 0 = do not.
    #[serde(default)]
    pub pcapng_bytes_max: u64,
}

/// A filter the kernel can apply.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FrameFilter {
    /// EtherType, for example 2054 (ARP).
    #[serde(default)]
    pub ethertype: Option<u16>,
    /// IP protocol, for example 17 (UDP).
    #[serde(default)]
    pub protocol: Option<u8>,
    /// Either address.
    #[serde(default)]
    pub host: Option<IpAddr>,
    /// Either port.
    #[serde(default)]
    pub port: Option<u16>,
}

/// A payload to look for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Canary {
    /// Its name in the results.
    pub name: String,
    /// The text itself; at least 16 bytes, so that chance does not find it.
    pub text: String,
}

/// What a capture saw, decoded by [`crate::frames`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CaptureSummary {
    /// Interface it listened on.
    pub interface: String,
    /// When it began and ended.
    pub from_ns: u64,
    /// See `from_ns`.
    pub to_ns: u64,
    /// Frames read.
    pub frames: u64,
    /// Bytes on the wire of those.
    pub bytes: u64,
    /// Frames the kernel dropped for want of room (PACKET_STATISTICS).
    pub dropped: u64,
    /// Frames cut at the snap length.
    pub truncated: u64,
    /// Frames that could not be decoded.
    pub undecodable: u64,
    /// Counted by outermost kind: `arp`, `icmp`, `icmp6`, `tcp`, `udp`, `vxlan`, `wireguard`, `esp`, `other`.
    pub kinds: BTreeMap<String, Volume>,
    /// WireGuard messages by type, and between whom.
    pub wireguard: WireGuardCount,
    /// TLS records at the start of TCP payloads, by content type: `handshake`, `applicationData`, `alert`, `changeCipherSpec`.
    pub tls_records: BTreeMap<String, u64>,
    /// One a canary asked for, in that order.
    pub canaries: Vec<CanaryHits>,
    /// Whether the pcapng file is complete.
    pub pcapng_complete: bool,
}

/// Frames and bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Volume {
    /// Frames.
    pub frames: u64,
    /// Bytes on the wire.
    pub bytes: u64,
}

/// WireGuard messages (type field of the first octet).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WireGuardCount {
    /// Type 1.
    pub initiation: u64,
    /// Type 2.
    pub response: u64,
    /// Type 3.
    pub cookie: u64,
    /// Type 4 with a payload.
    pub data: u64,
    /// Type 4 of 32 bytes.
    pub keepalive: u64,
    /// Bytes of UDP payload of type 4.
    pub data_bytes: u64,
    /// Data messages by `source>destination` address of the outer packet.
    pub pairs: BTreeMap<String, u64>,
}

/// Where a canary was seen.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CanaryHits {
    /// Its name.
    pub name: String,
    /// Frames with it in the clear and in no tunnel.
    pub clear: u64,
    /// Frames with it in the clear inside VXLAN.
    pub vxlan: u64,
    /// The first few frames that had it, at most 8.
    pub first: Vec<FrameRef>,
}

impl CanaryHits {
    /// Frames with it anywhere.
    pub fn frames(&self) -> u64 {
        self.clear.saturating_add(self.vxlan)
    }
}

/// Points at a frame of a capture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FrameRef {
    /// Number in the capture, from 1 as Wireshark counts.
    pub number: u64,
    /// When.
    pub at_ns: u64,
    /// In words: addresses, ports, tunnel, for example `10.9.1.2 > 10.9.1.3 VXLAN 1 | 10.244.1.4:39112 > 10.244.2.7:8080 TCP`.
    pub what: String,
}

/// Continuous traffic.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LoadOp {
    /// Where it goes.
    pub target: SocketAddr,
    /// What is sent; a fresh connection each time for TCP and HTTP.
    pub kind: LoadKind,
    /// Time between two beginnings, in milliseconds; a slow answer does not delay the next.
    #[serde(default = "twenty_ms")]
    pub interval_ms: u64,
    /// Limit of one, in milliseconds.
    #[serde(default = "one_second")]
    pub timeout_ms: u64,
}

/// What a load sends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum LoadKind {
    /// `GET path` with this host.
    Http {
        /// Host header.
        host: String,
        /// Path.
        path: String,
    },
    /// TCP echo.
    Tcp,
    /// UDP echo.
    Udp,
}

/// What a load saw.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LoadReport {
    /// One a probe, in the order they were sent.
    pub samples: Vec<LoadSample>,
    /// The interval that was asked for, milliseconds.
    pub interval_ms: u64,
}

/// One probe of a load.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LoadSample {
    /// When it was sent.
    pub at_ns: u64,
    /// Round trip in microseconds; absent = lost.
    pub rtt_us: Option<u64>,
    /// Why it was lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<FailureClass>,
    /// HTTP status, where there was one; a status of 500 or more counts as lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
}

/// A link of a namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Link {
    /// Name.
    pub name: String,
    /// Interface index.
    pub index: u32,
    /// Hardware address.
    pub mac: Option<String>,
    /// Up and running.
    pub up: bool,
    /// MTU in bytes.
    pub mtu: u32,
    /// Addresses with prefix length, for example `10.9.0.2/24`.
    pub addresses: Vec<String>,
}

/// A server. In a pod it is the program's command line (`plumb-agent serve`), in a session an operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServeOp {
    /// Where to listen; port 0 = any.
    pub listen: SocketAddr,
    /// What to speak.
    pub protocol: ServeProtocol,
    /// Backend id in the echo.
    pub backend: String,
    /// Pod name in the echo.
    #[serde(default)]
    pub pod: String,
    /// Node name in the echo.
    #[serde(default)]
    pub node: String,
    /// Certificate chain, PEM; with it the server speaks TLS.
    #[serde(default)]
    pub cert_pem: Option<String>,
    /// Private key, PEM. Never logged, never echoed.
    #[serde(default)]
    pub key_pem: Option<String>,
}

/// What a server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ServeProtocol {
    /// HTTP/1.1 and HTTP/2, the echo as JSON; TLS when a certificate is given (ALPN `h2`, `http/1.1`).
    Http,
    /// Bytes come back as they are.
    TcpEcho,
    /// Datagrams come back as they are.
    UdpEcho,
}

fn slash() -> String {
    "/".into()
}
fn get() -> String {
    "GET".into()
}
fn one() -> u32 {
    1
}
fn ping_size() -> u16 {
    56
}
fn five_seconds() -> u64 {
    5_000
}
fn one_second() -> u64 {
    1_000
}
fn twenty_ms() -> u64 {
    20
}
fn two_hundred_ms() -> u64 {
    200
}
fn snaplen() -> u32 {
    256
}
fn vxlan_ports() -> Vec<u16> {
    vec![8472]
}
fn wireguard_ports() -> Vec<u16> {
    vec![51871]
}
