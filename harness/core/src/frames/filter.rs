//! Compiles [`FrameFilter`]s to classic BPF (McCanne and Jacobson 1993; Linux `Documentation/networking/filter.rst`).
//!
//! Each filter becomes one case for each address family it may match; a case that fails falls through to the next, one that holds
//! returns the snap length, and the program ends by returning 0 (drop). The kernel has taken a VLAN tag out of the frame before.

use std::net::IpAddr;

use crate::probe::FrameFilter;

/// One instruction, as `struct sock_filter` has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instruction {
    /// Operation.
    pub code: u16,
    /// Instructions to skip when a comparison holds.
    pub jt: u8,
    /// Instructions to skip when it does not.
    pub jf: u8,
    /// Operand.
    pub k: u32,
}

const LD_W: u16 = 0x20;
const LD_H: u16 = 0x28;
const LD_B: u16 = 0x30;
const LD_H_X: u16 = 0x48;
const LDX_HEADER: u16 = 0xb1;
const JEQ: u16 = 0x15;
const JSET: u16 = 0x45;
const RET: u16 = 0x06;

const ARP: u16 = 0x0806;
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;

/// The program that keeps `snaplen` bytes of frames that match one of the filters (all, when there is none) and drops the others.
pub fn compile(filters: &[FrameFilter], snaplen: u32) -> Vec<Instruction> {
    if filters.is_empty() {
        return vec![ret(snaplen)];
    }
    let mut program = Vec::new();
    for filter in filters {
        for case in cases(filter) {
            program.extend(assemble(&case, snaplen));
        }
    }
    program.push(ret(0));
    program
}

/// Runs a program as the kernel would: how many bytes of the frame it keeps. A load beyond the frame keeps none.
pub fn run(program: &[Instruction], frame: &[u8]) -> u32 {
    let load = |at: usize, len: usize| {
        let bytes = frame.get(at..at.checked_add(len)?)?;
        Some(bytes.iter().fold(0u32, |value, byte| value << 8 | u32::from(*byte)))
    };
    let (mut a, mut x, mut pc) = (0u32, 0u32, 0usize);
    while let Some(instruction) = program.get(pc) {
        let k = instruction.k as usize;
        let loaded = match instruction.code {
            RET => return instruction.k,
            JEQ | JSET => {
                let holds = if instruction.code == JEQ { a == instruction.k } else { a & instruction.k != 0 };
                pc += 1 + usize::from(if holds { instruction.jt } else { instruction.jf });
                continue;
            }
            LDX_HEADER => load(k, 1).map(|byte| x = (byte & 0x0f) * 4),
            LD_W => load(k, 4).map(|value| a = value),
            LD_H => load(k, 2).map(|value| a = value),
            LD_B => load(k, 1).map(|value| a = value),
            LD_H_X => load(k + x as usize, 2).map(|value| a = value),
            _ => None,
        };
        if loaded.is_none() {
            return 0;
        }
        pc += 1;
    }
    0
}

/// One condition of a case; all conditions of a case must hold.
enum Condition {
    /// One of these values at one of these places.
    Any(Vec<(Load, u32)>),
    /// None of these bits.
    Clear(Load, u32),
    /// Every value of one of these groups: an IPv6 address as source or as destination.
    AnyGroup(Vec<Vec<(Load, u32)>>),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Load {
    Word(u32),
    Half(u32),
    Byte(u32),
    /// Half word this far behind the IPv4 header.
    BehindIpv4(u32),
}

fn cases(filter: &FrameFilter) -> Vec<Vec<Condition>> {
    let is_ip = filter.protocol.is_some() || filter.port.is_some();
    let families: Vec<u16> = match (filter.ethertype, filter.host) {
        (Some(ethertype), _) => vec![ethertype],
        (None, Some(IpAddr::V4(_))) if is_ip => vec![IPV4],
        (None, Some(IpAddr::V4(_))) => vec![IPV4, ARP],
        (None, Some(IpAddr::V6(_))) => vec![IPV6],
        (None, None) if is_ip => vec![IPV4, IPV6],
        (None, None) => return vec![Vec::new()],
    };
    families.into_iter().filter_map(|family| case(filter, family)).collect()
}

/// The conditions of a filter in one family; nothing when it cannot match there.
fn case(filter: &FrameFilter, family: u16) -> Option<Vec<Condition>> {
    let mut conditions = vec![Condition::Any(vec![(Load::Half(12), u32::from(family))])];
    let is_ip = matches!(family, IPV4 | IPV6);
    if !is_ip && (filter.protocol.is_some() || filter.port.is_some()) {
        return None;
    }
    let protocol_at = if family == IPV4 { 23 } else { 20 };
    match (filter.protocol, filter.port) {
        (Some(protocol), _) => conditions.push(Condition::Any(vec![(Load::Byte(protocol_at), u32::from(protocol))])),
        (None, Some(_)) => conditions.push(Condition::Any([6, 17, 132].map(|p| (Load::Byte(protocol_at), p)).to_vec())),
        (None, None) => {}
    }
    match (filter.host, family) {
        (None, _) => {}
        (Some(IpAddr::V4(host)), IPV4) => conditions.push(either(26, 30, host.to_bits())),
        (Some(IpAddr::V4(host)), ARP) => conditions.push(either(28, 38, host.to_bits())),
        (Some(IpAddr::V6(host)), IPV6) => {
            let words = |at: u32| {
                let octets = host.octets();
                let word = |n: usize| u32::from_be_bytes([octets[n], octets[n + 1], octets[n + 2], octets[n + 3]]);
                (0..4).map(|n| (Load::Word(at + 4 * n), word(4 * n as usize))).collect()
            };
            conditions.push(Condition::AnyGroup(vec![words(22), words(38)]));
        }
        _ => return None,
    }
    if let Some(port) = filter.port {
        let port = u32::from(port);
        if family == IPV4 {
            // A later fragment has no ports.
            conditions.push(Condition::Clear(Load::Half(20), 0x1fff));
            conditions.push(Condition::Any(vec![(Load::BehindIpv4(14), port), (Load::BehindIpv4(16), port)]));
        } else {
            conditions.push(Condition::Any(vec![(Load::Half(54), port), (Load::Half(56), port)]));
        }
    }
    Some(conditions)
}

fn either(source: u32, destination: u32, value: u32) -> Condition {
    Condition::Any(vec![(Load::Word(source), value), (Load::Word(destination), value)])
}

/// A jump before its distance is known.
#[derive(Clone, Copy)]
enum Jump {
    Next,
    /// To the end of this condition: it holds.
    Holds,
    /// To the end of this group: the next alternative.
    NextGroup,
    /// To the end of the case: it does not match.
    Fails,
}

struct Draft {
    code: u16,
    k: u32,
    on_true: Jump,
    on_false: Jump,
    /// Position after the last instruction of its group and of its condition.
    group_end: usize,
    condition_end: usize,
}

fn assemble(conditions: &[Condition], snaplen: u32) -> Vec<Instruction> {
    let mut drafts: Vec<Draft> = Vec::new();
    for condition in conditions {
        let from = drafts.len();
        match condition {
            Condition::Any(alternatives) => {
                let last = alternatives.len() - 1;
                for (n, (load, value)) in alternatives.iter().enumerate() {
                    let on_false = if n == last { Jump::Fails } else { Jump::Next };
                    push(&mut drafts, *load, (JEQ, *value), Jump::Holds, on_false);
                }
            }
            Condition::Clear(load, bits) => push(&mut drafts, *load, (JSET, *bits), Jump::Fails, Jump::Next),
            Condition::AnyGroup(groups) => {
                let last_group = groups.len() - 1;
                for (n, group) in groups.iter().enumerate() {
                    let group_from = drafts.len();
                    let on_false = if n == last_group { Jump::Fails } else { Jump::NextGroup };
                    for (m, (load, value)) in group.iter().enumerate() {
                        let on_true = if m + 1 == group.len() { Jump::Holds } else { Jump::Next };
                        push(&mut drafts, *load, (JEQ, *value), on_true, on_false);
                    }
                    let end = drafts.len();
                    drafts[group_from..].iter_mut().for_each(|draft| draft.group_end = end);
                }
            }
        }
        let end = drafts.len();
        drafts[from..].iter_mut().for_each(|draft| draft.condition_end = end);
    }
    // The case ends with its own return; failing jumps over it.
    let fails = drafts.len() + 1;
    let distance = |at: usize, draft: &Draft, jump: Jump| {
        let to = match jump {
            Jump::Next => at + 1,
            Jump::Holds => draft.condition_end,
            Jump::NextGroup => draft.group_end,
            Jump::Fails => fails,
        };
        u8::try_from(to - at - 1).expect("a case has fewer than 256 instructions")
    };
    let mut program: Vec<Instruction> = drafts
        .iter()
        .enumerate()
        .map(|(at, draft)| match draft.code {
            JEQ | JSET => Instruction {
                code: draft.code,
                jt: distance(at, draft, draft.on_true),
                jf: distance(at, draft, draft.on_false),
                k: draft.k,
            },
            code => Instruction { code, jt: 0, jf: 0, k: draft.k },
        })
        .collect();
    program.push(ret(snaplen));
    program
}

fn push(drafts: &mut Vec<Draft>, load: Load, test: (u16, u32), on_true: Jump, on_false: Jump) {
    let mut plain = |code, k, on_true, on_false| {
        drafts.push(Draft { code, k, on_true, on_false, group_end: 0, condition_end: 0 });
    };
    match load {
        Load::Word(at) => plain(LD_W, at, Jump::Next, Jump::Next),
        Load::Half(at) => plain(LD_H, at, Jump::Next, Jump::Next),
        Load::Byte(at) => plain(LD_B, at, Jump::Next, Jump::Next),
        Load::BehindIpv4(at) => {
            plain(LDX_HEADER, 14, Jump::Next, Jump::Next);
            plain(LD_H_X, at, Jump::Next, Jump::Next);
        }
    }
    plain(test.0, test.1, on_true, on_false);
}

fn ret(k: u32) -> Instruction {
    Instruction { code: RET, jt: 0, jf: 0, k }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn ipv4(protocol: u8, source: [u8; 4], destination: [u8; 4], ports: (u16, u16), options: usize) -> Vec<u8> {
        let mut frame = vec![0; 12];
        frame.extend(IPV4.to_be_bytes());
        frame.push(0x45 + (options / 4) as u8);
        frame.extend([0; 8]);
        frame.push(protocol);
        frame.extend([0; 2]);
        frame.extend(source);
        frame.extend(destination);
        frame.extend(vec![0; options]);
        frame.extend(ports.0.to_be_bytes());
        frame.extend(ports.1.to_be_bytes());
        frame.extend([0; 16]);
        frame
    }

    fn ipv6(protocol: u8, source: &str, destination: &str, ports: (u16, u16)) -> Vec<u8> {
        let mut frame = vec![0; 12];
        frame.extend(IPV6.to_be_bytes());
        frame.extend([0x60, 0, 0, 0, 0, 20, protocol, 64]);
        frame.extend(source.parse::<std::net::Ipv6Addr>().unwrap().octets());
        frame.extend(destination.parse::<std::net::Ipv6Addr>().unwrap().octets());
        frame.extend(ports.0.to_be_bytes());
        frame.extend(ports.1.to_be_bytes());
        frame.extend([0; 16]);
        frame
    }

    fn arp(sender: [u8; 4], target: [u8; 4]) -> Vec<u8> {
        let mut frame = vec![0; 12];
        frame.extend(ARP.to_be_bytes());
        frame.extend([0, 1, 8, 0, 6, 4, 0, 1]);
        frame.extend([2; 6]);
        frame.extend(sender);
        frame.extend([0; 6]);
        frame.extend(target);
        frame
    }

    fn filter(text: &str) -> FrameFilter {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn filters_keep_what_they_name_and_nothing_else() {
        let (a, b, c) = ([10, 9, 0, 2], [10, 9, 0, 3], [10, 9, 0, 4]);
        let udp = ipv4(17, a, b, (5000, 8472), 0);
        let with_options = ipv4(17, a, b, (8472, 5000), 8);
        let tcp = ipv4(6, b, a, (443, 40000), 0);
        let mut fragment = udp.clone();
        fragment[21] = 7;
        let v6 = ipv6(17, "fd00::2", "fd00::3", (5000, 8472));
        let question = arp(a, c);
        let cases: &[(&str, &[u8], bool)] = &[
            (r#"{"port":8472}"#, &udp, true),
            (r#"{"port":8472}"#, &with_options, true),
            (r#"{"port":8472}"#, &fragment, false),
            (r#"{"port":8472}"#, &v6, true),
            (r#"{"port":8472}"#, &tcp, false),
            (r#"{"port":8472}"#, &question, false),
            (r#"{"protocol":17,"port":8472,"host":"10.9.0.3"}"#, &udp, true),
            (r#"{"protocol":17,"port":8472,"host":"10.9.0.4"}"#, &udp, false),
            (r#"{"protocol":6}"#, &tcp, true),
            (r#"{"protocol":6}"#, &v6, false),
            (r#"{"host":"fd00::3"}"#, &v6, true),
            (r#"{"host":"fd00::2"}"#, &v6, true),
            (r#"{"host":"fd00::4"}"#, &v6, false),
            (r#"{"host":"10.9.0.4"}"#, &question, true),
            (r#"{"host":"10.9.0.3"}"#, &question, false),
            (r#"{"ethertype":2054}"#, &question, true),
            (r#"{"ethertype":2054}"#, &udp, false),
            (r#"{"ethertype":2054,"host":"10.9.0.2"}"#, &question, true),
            (r#"{"ethertype":2054,"port":53}"#, &question, false),
            (r#"{}"#, &question, true),
        ];
        for (text, frame, kept) in cases {
            let program = compile(&[filter(text)], 96);
            assert_eq!(run(&program, frame), if *kept { 96 } else { 0 }, "{text} on {frame:02x?}");
        }
    }

    #[test]
    fn a_frame_is_kept_when_any_filter_matches() {
        let program = compile(&[filter(r#"{"ethertype":2054}"#), filter(r#"{"protocol":1}"#)], 64);
        assert_eq!(run(&program, &arp([1; 4], [2; 4])), 64);
        assert_eq!(run(&program, &ipv4(1, [1; 4], [2; 4], (0, 0), 0)), 64);
        assert_eq!(run(&program, &ipv4(6, [1; 4], [2; 4], (0, 0), 0)), 0);
    }

    #[test]
    fn no_filter_keeps_everything() {
        assert_eq!(run(&compile(&[], 70), &[]), 70);
    }
}
