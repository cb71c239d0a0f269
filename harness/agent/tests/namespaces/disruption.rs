//! What an agent does to the namespace it is in: a link that loses what it had and gets it back, wires that are cut in silence and healed.

use std::net::Ipv4Addr;

use plumb_core::probe::{
    CutOp, CutPeer, CutPower, Done, FailureClass, KernelObjectKind, L4Op, LinkOp, LinkPower, LinkReport, Op, PingOp, PingOutcome, ServeOp,
    ServeProtocol,
};
use rtnetlink::RouteMessageBuilder;

use crate::ping::is_answered;
use crate::support::Agent;
use crate::wires::wires;

pub(crate) const TESTS: [(&str, fn()); 5] = [
    ("a_link_loses_its_routes_and_neighbours_and_gets_them_back", a_link_loses_its_routes_and_neighbours_and_gets_them_back),
    ("a_link_that_is_not_there_or_is_as_asked_is_an_error", a_link_that_is_not_there_or_is_as_asked_is_an_error),
    ("a_cut_drops_packets_of_one_address_and_no_other", a_cut_drops_packets_of_one_address_and_no_other),
    ("a_cut_of_one_port_leaves_the_others", a_cut_of_one_port_leaves_the_others),
    ("a_cut_is_made_once_and_healed_once", a_cut_is_made_once_and_healed_once),
];

fn set(agent: &mut Agent, power: LinkPower, restore: &LinkReport) -> LinkReport {
    match agent.ask(Op::Link(LinkOp { interface: "e0".into(), power, restore: restore.objects.clone() })) {
        Done::Link(report) => report,
        other => panic!("{other:?}"),
    }
}

fn words(report: &LinkReport) -> Vec<&str> {
    report.objects.iter().map(|object| object.words.as_str()).collect()
}

fn a_link_loses_its_routes_and_neighbours_and_gets_them_back() {
    let machine = &wires().b;
    machine.netlink(async |handle| {
        let index = nix::net::if_::if_nametoindex("e0").unwrap();
        let by_way = |table| {
            let route = RouteMessageBuilder::<Ipv4Addr>::new().destination_prefix(Ipv4Addr::new(198, 51, 100, 0), 24);
            route.gateway(Ipv4Addr::new(10, 9, 0, 1)).table_id(table).build()
        };
        for table in [254, 2005] {
            handle.route().add(by_way(table)).execute().await.unwrap();
        }
        let neighbour = handle.neighbours().add(index, "10.9.0.77".parse().unwrap());
        neighbour.link_layer_address(&[2, 0, 0, 0, 0, 77]).execute().await.unwrap();
    });
    let mut agent = machine.agent();
    let down = set(&mut agent, LinkPower::Down, &LinkReport { at_ns: 0, objects: Vec::new() });
    let had = words(&down);
    for one in [
        "address 10.9.0.3/24 dev e0",
        "route default via 10.9.0.1 dev e0",
        "route 10.9.0.0/24 dev e0",
        "route 198.51.100.0/24 via 10.9.0.1 dev e0",
        "route 198.51.100.0/24 via 10.9.0.1 table 2005 dev e0",
        "neighbour 10.9.0.77 dev e0",
    ] {
        assert!(had.contains(&one), "{one} is not among {had:?}");
    }
    assert!(!is_answered(&mut agent, "10.9.0.2"));
    // Another session can undo it: all that is needed is in the answer.
    let mut other = machine.agent();
    let up = set(&mut other, LinkPower::Up, &down);
    assert!(up.at_ns > down.at_ns);
    let back = words(&up);
    assert!(back.contains(&"route default via 10.9.0.1 dev e0") && back.contains(&"neighbour 10.9.0.77 dev e0"), "{back:?}");
    assert!(!back.contains(&"route 10.9.0.0/24 dev e0"), "the kernel brings it back by itself: {back:?}");
    assert!(up.objects.iter().all(|object| object.kind != KernelObjectKind::Address), "IPv4 addresses stay: {back:?}");
    let again = set(&mut other, LinkPower::Down, &up);
    assert_eq!(words(&again), had, "after the first time all is as it was before");
    set(&mut other, LinkPower::Up, &again);
    // By way of the router, to what is not on the link.
    assert!(is_answered(&mut other, "10.8.0.1"));
}

fn a_link_that_is_not_there_or_is_as_asked_is_an_error() {
    let mut agent = wires().b.agent();
    let ask = |interface: &str, power| Op::Link(LinkOp { interface: interface.into(), power, restore: Vec::new() });
    let error = agent.refused(ask("net7", LinkPower::Down));
    assert_eq!((error.operation.as_str(), error.message.as_str()), ("find interface net7", "there is none; there are lo, e0"));
    let error = agent.refused(ask("e0", LinkPower::Up));
    assert_eq!((error.operation.as_str(), error.message.as_str()), ("set e0 up", "it is up already"));
}

fn cut(power: CutPower, address: &str, port: Option<u16>) -> Op {
    Op::Cut(CutOp { name: "test".into(), power, from: vec![CutPeer { address: address.parse().unwrap(), port }] })
}

fn dropped(agent: &mut Agent, address: &str) -> u64 {
    match agent.ask(cut(CutPower::Heal, address, None)) {
        Done::Cut(report) => report.dropped,
        other => panic!("{other:?}"),
    }
}

/// Whether an address answers. Whoever sends what is dropped on its own machine may be told so; nothing comes back either way.
fn reaches(agent: &mut Agent, target: &str) -> bool {
    let op =
        PingOp { target: target.parse().unwrap(), source: None, size: 0, dont_fragment: false, count: 1, interval_ms: 0, timeout_ms: 500 };
    let id = agent.send(Op::Ping(op));
    match agent.finish(id).1 {
        Ok(Done::Ping(report)) => matches!(report.attempts[0].outcome, PingOutcome::Reply { .. }),
        _ => false,
    }
}

fn a_cut_drops_packets_of_one_address_and_no_other() {
    let wires = wires();
    let (mut agent, mut other) = (wires.a.agent(), wires.b.agent());
    agent.ask(cut(CutPower::Cut, "10.9.0.3", None));
    assert!(!reaches(&mut agent, "10.9.0.3"));
    assert!(reaches(&mut agent, "10.8.0.1"));
    assert!(!reaches(&mut other, "10.9.0.2"), "it is cut in both directions");
    // One went out and one came in.
    assert!(dropped(&mut agent, "10.9.0.3") >= 2);
    assert!(reaches(&mut agent, "10.9.0.3"));
    assert!(reaches(&mut other, "10.9.0.2"));
}

fn a_cut_of_one_port_leaves_the_others() {
    let wires = wires();
    let (mut agent, mut server) = (wires.a.agent(), wires.b.agent());
    for port in [6443, 6444] {
        let listen = format!("10.9.0.3:{port}").parse().unwrap();
        let (backend, text) = ("b".to_owned(), String::new);
        let protocol = ServeProtocol::TcpEcho;
        server.serve(ServeOp { listen, protocol, backend, pod: text(), node: text(), cert_pem: None, key_pem: None });
    }
    let answers = |agent: &mut Agent, port: u16| {
        let target = format!("10.9.0.3:{port}").parse().unwrap();
        let op = L4Op { target, source: None, payload: "hello".into(), count: 1, interval_ms: 0, timeout_ms: 1_000 };
        match agent.ask(Op::Tcp(op)) {
            Done::L4(report) => report.attempts[0].failure.as_ref().map(|failure| failure.class),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((answers(&mut agent, 6443), answers(&mut agent, 6444)), (None, None));
    agent.ask(cut(CutPower::Cut, "10.9.0.3", Some(6443)));
    let silent = answers(&mut agent, 6443);
    assert_eq!(silent, Some(FailureClass::Timeout), "nobody says no on a wire that is cut");
    assert_eq!(answers(&mut agent, 6444), None);
    assert!(dropped(&mut agent, "10.9.0.3") >= 1);
    assert_eq!(answers(&mut agent, 6443), None);
}

fn a_cut_is_made_once_and_healed_once() {
    let mut agent = wires().a.agent();
    agent.ask(cut(CutPower::Cut, "10.9.0.3", None));
    let error = agent.refused(cut(CutPower::Cut, "10.9.0.3", None));
    assert!(error.message.contains("it is there already"), "{error:?}");
    agent.ask(cut(CutPower::Heal, "10.9.0.3", None));
    let error = agent.refused(cut(CutPower::Heal, "10.9.0.3", None));
    assert!(error.message.contains("the node is not cut off"), "{error:?}");
}
