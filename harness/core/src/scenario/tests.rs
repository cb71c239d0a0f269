//! Parsing: what is accepted, and how each mistake is told.

#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

/// The smallest scenario that has a check.
const SMALL: &str = r#"format: 1
title: one request
intent: Passes if and only if one request is answered.
covers:
  - {document: cni-cilium, section: HTTPS, promise: A request is answered.}
lab: {workers: 2, networks: [eth0, net0], client: [eth0, net0]}
install: {profile: gateway-1.17.1}
certs:
  demo: {sans: [bookinfo.cilium.rocks], secret: demo-cert}
backends:
  echo: {port: 8080, replicas: 2}
steps:
  - during:
      watch:
        second: {capture: {on: pod/echo, interface: eth0}}
        loud: {arp: {network: eth0, to: {address: 10.0.0.1}}}
      steps:
        - http: {id: ask, to: {gateway: gw}, port: 80, host: a.example, expect: {status: 200}}
  - count: {id: seen, in: second, canary: ask, min: 1}
faults:
  - {fault: backend-wrong-id, turns: [ask], because: other backend}
"#;

/// The scenario with one text put in place of another, and the messages that come of it.
fn messages(replace: &str, with: &str) -> Vec<String> {
    assert!(SMALL.contains(replace), "the table names a text that is not there: {replace}");
    match parse("s.yaml", &SMALL.replacen(replace, with, 1)) {
        Ok(_) => Vec::new(),
        Err(mistakes) => mistakes
            .list
            .iter()
            .map(|m| match &m.hint {
                Some(hint) => format!("{}:{}: {} ({hint})", m.line, m.column, m.message),
                None => format!("{}:{}: {}", m.line, m.column, m.message),
            })
            .collect(),
    }
}

#[track_caller]
fn check(replace: &str, with: &str, expected: &str) {
    let all = messages(replace, with).join("\n");
    assert!(all.contains(expected), "`{with}` in place of `{replace}`: expected `{expected}`, got:\n{all}");
}

#[test]
fn a_small_scenario_is_read() {
    let scenario = parse("s.yaml", SMALL).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    assert_eq!(scenario.steps.len(), 2);
    assert_eq!(scenario.lab.workers, 2);
    // Written and read again it is the same: plan.json carries it.
    let text = serde_json::to_string(&scenario).unwrap();
    assert_eq!(serde_json::from_str::<Scenario>(&text).unwrap(), scenario);
}

#[test]
fn each_mistake_is_told_with_its_place() {
    for (replace, with, expected) in [
        // Keys.
        ("title: one", "titel: one", "2:1: the file has no key `titel` (did you mean `title`?)"),
        ("title: one", "titel: one", "the file has no `title` (One line for lists and reports)"),
        ("port: 8080,", "prot: 8080,", "11:10: `echo` has no key `prot` (did you mean `port`?)"),
        ("format: 1\n", "format: 1\nformat: 1\n", "2:1: the key `format` is there twice, first on line 1"),
        // Types.
        ("port: 8080,", "port: \"8080\",", "`port` is the text `8080`, expected a whole number"),
        ("port: 8080,", "port: 80800,", "`port` is 80800, expected a number from 0 to 65535"),
        ("port: 8080,", "port: -1,", "expected a number from 0 to 65535"),
        ("port: 8080,", "port: 8.5,", "expected a whole number"),
        ("title: one request", "title: 12", "2:8: `title` is the number `12`, expected a text (put it in quotes)"),
        ("sans: [bookinfo.cilium.rocks]", "sans: bookinfo", "`sans` is the text `bookinfo`, expected a list"),
        ("workers: 2", "workers: yes", "`workers` is the text `yes`, expected a whole number"),
        ("format: 1\n", "format: 9\n", "`format` is 9, this program reads 1"),
        // Verbs.
        ("- count:", "- cuont:", "has no key `cuont` (did you mean `count`?)"),
        ("- count: {", "- never: {}\n    count: {", "has 2 keys, expected exactly one"),
        ("- count: {id: seen, in: second, canary: ask, min: 1}", "- {}", "has 0 keys, expected exactly one"),
        ("- count: {id: seen, in: second, canary: ask, min: 1}", "- count", "expected a map with exactly one key"),
        // References.
        ("to: {gateway: gw}", "to: {gatway: gw}", "has no key `gatway` (did you mean `gateway`?)"),
        ("to: {gateway: gw}", "to: {gateway: gw, node: worker}", "`to` has 2 keys, expected exactly one"),
        ("to: {gateway: gw}", "to: {node: worker3}", "there is no node named `worker3` (did you mean `worker`?)"),
        ("to: {gateway: gw}", "to: {pod: ecko}", "there is no backend named `ecko` (did you mean `echo`?)"),
        ("to: {gateway: gw}", "to: {pod: echo/2}", "backend `echo` has 2 pods, there is no number 2"),
        ("to: {gateway: gw}", "to: {service: a/b/c}", "`a/b/c` names no object"),
        ("to: {address: 10.0.0.1}", "to: {address: 10.0.0}", "`10.0.0` is not an address"),
        ("to: {address: 10.0.0.1}", "to: {address: '${vpi:net0:0}'}", "is not a placeholder"),
        ("id: ask, ", "id: ask, from: pods/echo, ", "`pods/echo` is not a place to probe from"),
        ("id: ask, ", "id: ask, from: node/holder, ", "there is no node named `holder`"),
        ("id: ask, ", "id: Ask, ", "`Ask` is not a name"),
        ("id: ask, ", "", "expects something and has no `id`"),
        ("in: second", "in: secnod", "there is no watch named `secnod` (did you mean `second`?)"),
        ("canary: ask", "canary: aks", "there is no probe named `aks`"),
        ("canary: ask", "canary: loud", "`loud` is not a probe"),
        ("id: seen", "id: ask", "the id `ask` is given twice, first on line 18"),
        ("turns: [ask]", "turns: [asked]", "there is no check named `asked` (did you mean `ask`?)"),
        ("turns: [ask]", "turns: [loud]", "`loud` is not a check"),
        ("- count: {", "- node: {id: off, node: 'of:ask', action: stop}\n  - count: {", "`ask` is not a node step"),
        (
            "- count: {",
            "- place: {backend: echo, replicas: 1, until: leaving}\n  - count: {",
            "which Pods leave is only known when all of them do",
        ),
        ("- count: {", "- node: {id: off, node: 'off:ask', action: stop}\n  - count: {", "`other:<service>` or `of:<step>`"),
        ("turns: [ask]", "turns: []", "a fault that turns no check proves nothing"),
        ("fault: backend-wrong-id", "fault: backend-worng-id", "did you mean `backend-wrong-id`?"),
        // Networks and interfaces.
        ("network: eth0", "network: eth1", "there is no network of the lab named `eth1`"),
        ("client: [eth0, net0]}", "client: [eth0, net1]}", "there is no network of the lab named `net1`"),
        ("client: [eth0, net0]}", "client: [net0]}", "the client is not on network `eth0`"),
        ("client: [eth0, net0]}", "client: []}", "there is no outside client in this lab"),
        ("interface: eth0", "interface: net0", "there is no interface on `pod/echo` named `net0`"),
        ("networks: [eth0, net0]", "networks: [eth0, net0, eth0]", "`networks` names `eth0` twice"),
        ("workers: 2", "workers: 100000", "the lab has 100001 nodes, at most 64 can be made"),
        ("workers: 2", "controlPlanes: 0", "a lab without a control plane has no API"),
        // Rules.
        ("canary: ask, min: 1", "canary: ask, gratuitous: true, min: 1", "exactly one of `canary`, `gratuitous`, `answerers`"),
        ("canary: ask, min: 1", "canary: ask, min: 3, max: 2", "`max` is 2, less than `min` 3"),
        ("- count: {", "- apply: {id: put, file: a.yaml, manifest: b}\n  - count: {", "exactly one of `file`, `manifest`"),
        ("- count: {", "- apply: {id: put, file: ../a.yaml}\n  - count: {", "is not a file beside the scenario"),
        ("- count: {", "- downtime: {id: gap, of: loud, max: 3}\n  - count: {", "`max` is the number `3`, expected a text"),
        ("- count: {", "- downtime: {id: gap, of: loud, max: 3sec}\n  - count: {", "`3sec` is not a time"),
        ("- count: {", "- downtime: {id: gap, of: loud, min: 5s, max: 3s}\n  - count: {", "`max` is less than `min`"),
        (
            "- count: {",
            "- distribution: {id: share, weights: {echo: 0}, probe: {to: {gateway: gw}, port: 80, host: a}}\n  - count: {",
            "`weights` are all 0",
        ),
        (
            "- count: {",
            "- distribution: {id: share, weights: {}, alpha: 1, probe: {to: {gateway: gw}, port: 80, host: a}}\n  - count: {",
            "`weights` is empty",
        ),
        (
            "- count: {",
            "- distribution: {id: share, weights: {ecko: 1}, probe: {to: {gateway: gw}, port: 80, host: a}}\n  - count: {",
            "there is no backend named `ecko`",
        ),
        (
            "- count: {",
            "- http: {id: late, to: {gateway: gw}, port: 80, host: a}\n  - count: {id: two, in: second, canary: late, max: 0}\n  - count: {",
            "`late` does not run while `second` watches",
        ),
        ("expect: {status: 200}", "expect: {status: 200, fails: [refused]}", "`fails` and `status` cannot both be expected"),
        ("expect: {status: 200}", "expect: {}", "it is empty: nothing can break it"),
        ("expect: {status: 200}", "expect: {fails: [refuse]}", "did you mean `refused`?"),
        ("expect: {status: 200}", "expect: {tls: {leaf: dmeo}}", "there is no certificate named `dmeo` (did you mean `demo`?)"),
        ("intent: Passes if and only if", "intent: Passes when", "`intent` begins with `Passes when one request"),
        ("faults:", "variants:\n  - {name: v, when: {cilium: '>1.x'}, because: none, drop: [ask]}\nfaults:", "is not a range of versions"),
        ("faults:", "variants:\n  - {name: v, when: {provider: kidn}, because: none, drop: [ask]}\nfaults:", "did you mean `kind`?"),
        ("faults:", "variants:\n  - {name: v, when: {system: Cilium}, because: none, drop: [ask]}\nfaults:", "did you mean `cilium`?"),
        ("faults:", "variants:\n  - {name: v, when: {}, because: none, drop: [aks]}\nfaults:", "there is no check named `aks`"),
        (
            "faults:",
            "variants:\n  - {name: v, when: {provider: kind}, because: none, replace: [{delete: {id: nobody, resource: a/b}}]}\nfaults:",
            "`nobody` replaces a step that is not there",
        ),
    ] {
        check(replace, with, expected);
    }
}

#[test]
fn every_mistake_comes_at_once() {
    let text = SMALL
        .replace("title: one request", "titel: one request")
        .replace("profile:", "profil:")
        .replace("port: 80,", "port: eighty,")
        .replace("in: second", "in: first")
        .replace("turns: [ask]", "turns: [aks]")
        .replace("sans: [bookinfo.cilium.rocks]", "sans: []");
    let mistakes = parse("scenarios/http-one/scenario.yaml", &text).unwrap_err();
    insta::assert_snapshot!("every_mistake", mistakes.to_string());
}

#[test]
fn colour_only_when_asked_for() {
    let mistakes = parse("s.yaml", "format: 1\ntitel: x\n").unwrap_err();
    assert!(!mistakes.render(crate::mistakes::Paint::Plain).contains('\u{1b}'));
    assert!(mistakes.render(crate::mistakes::Paint::Ansi).contains('\u{1b}'));
}

#[test]
fn hostile_text_is_refused_in_bounded_time() {
    let started = std::time::Instant::now();
    let bomb = {
        let mut text = String::from("a: &a [x,x,x,x,x,x,x,x,x]\n");
        for n in 0..20 {
            let (this, last) = ((b'b' + n) as char, (b'a' + n) as char);
            let list = vec![format!("*{last}"); 9].join(",");
            text.push_str(&format!("{this}: &{this} [{list}]\n"));
        }
        text
    };
    let cases = [
        String::new(),
        "\0".to_owned(),
        "title: a\0b".to_owned(),
        "{".repeat(100_000),
        "[".repeat(100_000),
        "- ".repeat(100_000),
        "a: ".repeat(10_000),
        (0..200).map(|n| format!("{}a:\n", " ".repeat(n))).collect(),
        "x".repeat(10 << 20),
        "\u{feff}".to_owned(),
        "steps: 9999999999999999999999999999999".to_owned(),
        "steps: .nan".to_owned(),
        "? [a, b]\n: c".to_owned(),
        "a: *b".to_owned(),
        "--- a\n--- b".to_owned(),
        "!!binary: x".to_owned(),
        "<<: {a: b}".to_owned(),
        "\"\\ud800\": 1".to_owned(),
        "\u{202e}steps\u{1b}[31m: [\u{7}]".to_owned(),
        format!("{}: 1", "k".repeat(900_000)),
        format!("title: {}", "long ".repeat(100_000)),
        (0..40_000).map(|n| format!("k{n}: 1\n")).collect(),
        SMALL.replace('\n', "\r\n").replace("title", "titel"),
        bomb,
    ];
    for text in cases {
        let mistakes = parse("hostile.yaml", &text).unwrap_err();
        let shown = mistakes.to_string();
        assert!(!mistakes.list.is_empty());
        assert!(shown.len() < 200_000, "{} bytes of message", shown.len());
        assert!(!shown.contains('\u{1b}'), "control characters of the file reach the terminal");
    }
    assert!(started.elapsed() < std::time::Duration::from_secs(180), "{:?}", started.elapsed());
}

#[test]
fn every_cut_of_a_scenario_gives_an_answer() {
    for at in (0..SMALL.len()).step_by(7) {
        if let Err(mistakes) = parse("cut.yaml", &SMALL[..at]) {
            let _ = mistakes.to_string();
        }
    }
}
