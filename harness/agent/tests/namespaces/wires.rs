//! The wires: a bridge in this process's own namespace with two machines on it, `a` and `b`, which both also claim 10.9.0.9, and behind this
//! namespace as a router a third, `c`, on a link with a smaller MTU.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsRawFd as _;
use std::sync::OnceLock;

use nix::sched::{CloneFlags, setns, unshare};
use rtnetlink::packet_route::link::{InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage};
use rtnetlink::{Handle, RouteMessageBuilder};

use crate::support::Agent;

/// MTU of the link to `c`.
pub(crate) const NARROW_MTU: u32 = 1300;

/// A network namespace.
pub(crate) struct Machine(Option<File>);

/// Everything there is.
pub(crate) struct Wires {
    /// This process's namespace: bridge `br0`, router.
    pub(crate) router: Machine,
    pub(crate) a: Machine,
    pub(crate) b: Machine,
}

/// Enters a network namespace of its own; as root directly, otherwise inside a user namespace.
pub(crate) fn enter() -> Result<(), String> {
    let (uid, gid) = (nix::unistd::getuid(), nix::unistd::getgid());
    if uid.is_root() && unshare(CloneFlags::CLONE_NEWNET).is_ok() {
        return Ok(());
    }
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET).map_err(|error| format!("unshare: {error}"))?;
    let write = |file: &str, text: String| std::fs::write(format!("/proc/self/{file}"), text).map_err(|error| format!("{file}: {error}"));
    write("setgroups", "deny".into())?;
    write("uid_map", format!("0 {uid} 1"))?;
    write("gid_map", format!("0 {gid} 1"))
}

/// Makes the wires once.
pub(crate) fn wires() -> &'static Wires {
    static WIRES: OnceLock<Wires> = OnceLock::new();
    WIRES.get_or_init(|| {
        let wires = Wires { router: Machine(None), a: Machine::new(), b: Machine::new() };
        let c = Machine::new();
        std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
        wires.router.netlink(async |handle| {
            up(&handle, "lo").await;
            let mut bridge = named("br0", 1500);
            bridge.attributes.push(LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Bridge)]));
            add(&handle, bridge).await;
            address(&handle, "br0", "10.9.0.1").await;
            for (port, machine) in [("pa", &wires.a), ("pb", &wires.b)] {
                add(&handle, veth(port, machine, 1500, Some(index("br0")))).await;
            }
            add(&handle, veth("narrow", &c, NARROW_MTU, None)).await;
            address(&handle, "narrow", "10.8.0.254").await;
        });
        wires.a.configure(&["10.9.0.2", "10.9.0.9"], "10.9.0.1");
        wires.b.configure(&["10.9.0.3", "10.9.0.9"], "10.9.0.1");
        c.configure(&["10.8.0.1"], "10.8.0.254");
        wires.wait_until_wired();
        // Namespaces live as long as something holds them.
        std::mem::forget(c);
        wires
    })
}

impl Wires {
    /// A bridge port forwards only once its link is known to be up.
    fn wait_until_wired(&self) {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        for (from, to) in [(&self.a, "10.9.0.3"), (&self.b, "10.9.0.2"), (&self.a, "10.8.0.1")] {
            let mut agent = from.agent();
            while !crate::ping::is_answered(&mut agent, to) {
                assert!(std::time::Instant::now() < deadline, "{to} does not answer");
            }
        }
    }
}

impl Machine {
    fn new() -> Self {
        let made = std::thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            File::open("/proc/thread-self/ns/net").unwrap()
        });
        Self(Some(made.join().unwrap()))
    }

    /// Runs something inside, on a thread of its own.
    pub(crate) fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let inside = scope.spawn(|| {
                if let Some(namespace) = &self.0 {
                    setns(namespace, CloneFlags::CLONE_NEWNET).unwrap();
                }
                work()
            });
            inside.join().unwrap()
        })
    }

    /// An agent that runs inside.
    pub(crate) fn agent(&self) -> Agent {
        self.inside(Agent::start)
    }

    /// An agent with a fault.
    pub(crate) fn faulty_agent(&self, fault: &str) -> Agent {
        self.inside(|| Agent::start_with(&[("PLUMB_AGENT_FAULT", fault)]))
    }

    /// Speaks to the kernel inside.
    pub(crate) fn netlink(&self, work: impl AsyncFnOnce(Handle) + Send) {
        self.inside(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let (connection, handle, _) = rtnetlink::new_connection().unwrap();
                tokio::spawn(connection);
                work(handle).await;
            });
        });
    }

    fn configure(&self, addresses: &[&str], gateway: &str) {
        let gateway: Ipv4Addr = gateway.parse().unwrap();
        self.netlink(async |handle| {
            up(&handle, "lo").await;
            up(&handle, "e0").await;
            for one in addresses {
                address(&handle, "e0", one).await;
            }
            let route = RouteMessageBuilder::<Ipv4Addr>::new().gateway(gateway).build();
            handle.route().add(route).execute().await.unwrap();
        });
    }
}

fn index(name: &str) -> u32 {
    nix::net::if_::if_nametoindex(name).unwrap()
}

fn named(name: &str, mtu: u32) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.flags = LinkFlags::Up;
    message.header.change_mask = LinkFlags::Up;
    message.attributes = vec![LinkAttribute::IfName(name.into()), LinkAttribute::Mtu(mtu)];
    message
}

/// A veth whose other end is `e0` of a machine.
fn veth(name: &str, machine: &Machine, mtu: u32, bridge: Option<u32>) -> LinkMessage {
    // The far end is set up inside: it cannot be before it has its peer.
    let mut far = named("e0", mtu);
    far.header = Default::default();
    far.attributes.push(LinkAttribute::NetNsFd(machine.0.as_ref().unwrap().as_raw_fd()));
    let mut near = named(name, mtu);
    near.attributes.extend(bridge.map(LinkAttribute::Controller));
    let peer = LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(far)));
    near.attributes.push(LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Veth), peer]));
    near
}

async fn add(handle: &Handle, message: LinkMessage) {
    handle.link().add(message).execute().await.unwrap();
}

async fn up(handle: &Handle, name: &str) {
    handle.link().set(rtnetlink::LinkUnspec::new_with_index(index(name)).up().build()).execute().await.unwrap();
}

async fn address(handle: &Handle, name: &str, address: &str) {
    let address: IpAddr = address.parse().unwrap();
    handle.address().add(index(name), address, 24).execute().await.unwrap();
}
