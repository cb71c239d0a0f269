//! Statuses by host and path through a Gateway in host network mode.

use plumb_core::verdict::Outcome::{Fail, Pass};
use serde_json::{Value, json};

use super::text;
use super::world::{answer, check, probe};

/// Status by host and path.
fn status(host: &str, path: &str) -> u16 {
    let wanted = format!("host={host}.example.com path={path} -> ");
    let text = text("gateway-1.17/curl.txt");
    let line = text.lines().find_map(|line| line.strip_prefix(&wanted)).unwrap();
    line[..3].parse().unwrap()
}

#[test]
fn routes_answer_as_the_specification_says() {
    let cases = [
        ("a", "/x", 200, "the route matches"),
        ("a", "/", 404, "no rule matches the path"),
        ("b", "/x", 500, "the backend does not exist"),
        ("c", "/x", 404, "the section name is of no listener"),
        ("d", "/x", 500, "the backend is in another namespace and nothing grants it"),
        ("nosuch", "/", 404, "no route has the host"),
    ];
    for (host, path, wanted, why) in cases {
        let seen = status(host, path);
        let fact = probe(1, answer(seen, (seen == 200).then_some("echo"), Value::Null, Value::Null));
        let step = |status: u16| {
            json!([{"http": {"id": "c", "to": {"gateway": "gw"}, "port": 80, "host": format!("{host}.example.com"), "path": path,
                "expect": {"status": status}}}])
        };
        check(why, &step(wanted), &[("c", fact.clone())], "c", Pass, &format!("status {wanted}"));
        check(why, &step(418), &[("c", fact)], "c", Fail, "expected 418");
    }
}
