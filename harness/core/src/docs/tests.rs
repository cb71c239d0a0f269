//! Whole documents: what is found in a misleading one, and that the cured one is silent.

#![allow(clippy::unwrap_used, reason = "tests")]
use serde_json::json;

use super::*;
use crate::profile::Severity;

fn profile(name: &str, cilium: &str, upgrades: Option<&str>, written: &[&str]) -> Profile {
    let profile = json!({
        "format": 1, "name": name, "title": "t", "source": "s", "cilium": cilium, "asWritten": written, "asMeant": {}, "upgrades": upgrades
    });
    serde_json::from_value(profile).unwrap()
}

fn profiles() -> Vec<Profile> {
    vec![
        profile(
            "gateway",
            "1.17.1",
            None,
            &["kubeProxyReplacement=true", "gatewayAPI.enabled=true", "encryption.enabled=true", "encryption.type=wireguard"],
        ),
        profile("l2", "1.16.2", None, &["kubeProxyReplacement=true", "l2announcements.enabled=true", "devices=\"{eth0,net0}\""]),
        profile("upgrade", "1.17.1", Some("l2"), &["kubeProxyReplacement=true", "gatewayAPI.enabled=true"]),
    ]
}

fn rules(text: &str) -> Vec<(&'static str, Severity, String)> {
    let document = read("d.md", text, &profiles(), None);
    let told = |finding: Finding| {
        assert!(!finding.cure.is_empty() && !finding.source.is_empty(), "{finding}");
        (finding.rule, finding.severity, finding.to_string())
    };
    document.findings.into_iter().map(told).collect()
}

/// The rule is found in `bad`, with these words and at this line, and not in `cured`.
#[track_caller]
fn check(rule: &str, severity: Severity, words: &str, bad: &str, cured: &str) {
    let found = rules(bad);
    let hit = found.iter().find(|(id, found, text)| *id == rule && *found == severity && text.contains(words));
    assert!(hit.is_some(), "{rule} ({severity:?}, {words}) is not in {found:#?}");
    let left = rules(cured);
    assert!(left.iter().all(|(id, ..)| *id != rule), "{rule} is in the cured document: {left:#?}");
}

fn block(text: &str) -> String {
    format!("# A document\n\n```bash\n{text}```\n")
}

const CUT: &str = "\
cilium install --version 1.17.1 \\
    # the Gateway API
    --set kubeProxyReplacement=true \\
    --set gatewayAPI.enabled=true
    # encryption
    --set encryption.enabled=true \\
    --set encryption.type=wireguard

cilium status --wait
";

const WHOLE: &str = "\
# the Gateway API, encryption
cilium install --version 1.17.1 \\
    --set kubeProxyReplacement=true \\
    --set gatewayAPI.enabled=true \\
    --set encryption.enabled=true \\
    --set encryption.type=wireguard

cilium status --wait
";

#[test]
fn a_cut_installation_passes_none_of_its_flags() {
    use Severity::Error;
    check("command-cut", Error, "d.md:5\n    this comment ends the line", &block(CUT), &block(WHOLE));
    check("command-cut", Error, "d.md:7\n    no backslash continues this line", &block(CUT), &block(WHOLE));
    check("values-not-passed", Error, "0 of its 4 values are passed", &block(CUT), &block(WHOLE));
    let document = read("d.md", &block(CUT), &profiles(), None);
    let ran: Vec<(usize, String, bool)> = document.commands.iter().map(|ran| (ran.line, ran.argv.join(" "), ran.not_found)).collect();
    let expected = [
        (4, "cilium install --version 1.17.1", false),
        (6, "--set kubeProxyReplacement=true --set gatewayAPI.enabled=true", true),
        (9, "--set encryption.enabled=true --set encryption.type=wireguard", true),
        (12, "cilium status --wait", false),
    ];
    assert_eq!(ran, expected.map(|(line, text, not_found)| (line, text.to_owned(), not_found)));
    let installation = &document.installations[0];
    assert_eq!((installation.passes.len(), installation.means.len(), installation.profile.as_deref()), (0, 4, Some("gateway")));
    assert_eq!(installation.differs, [], "what is meant is the profile as written");
}

#[test]
fn a_sound_document_is_silent() {
    assert_eq!(rules(&block(WHOLE)), []);
    let upgrade =
        "cilium upgrade --version 1.17.1 --reuse-values \\\n  --set kubeProxyReplacement=true \\\n  --set gatewayAPI.enabled=true\n";
    assert_eq!(rules(&block(upgrade)), []);
    assert_eq!(read("d.md", &block(upgrade), &profiles(), None).installations[0].profile.as_deref(), Some("upgrade"));
}

#[test]
fn values_are_compared_with_the_profile_as_written() {
    let other = WHOLE.replace("wireguard", "ipsec").replace("    --set gatewayAPI.enabled=true \\\n", "");
    let words = "encryption.type is \"ipsec\" here and \"wireguard\" there; gatewayAPI.enabled is nothing here and true there";
    check("differs-from-profile", Severity::Warning, words, &block(&other), &block(WHOLE));
    let l2 = "cilium install --version v1.16.2 --set kubeProxyReplacement=true --set l2announcements.enabled=true --set devices=\"{eth0,net0}\"\n";
    assert_eq!(rules(&block(l2)), [], "quotes of the profile and of the document are both a shell's");
    check("no-profile", Severity::Note, "no profile installs Cilium 1.15.0", &block("cilium install --version 1.15.0\n"), &block(WHOLE));
    check("version-not-pinned", Severity::Warning, "add --version", &block("cilium install\n"), &block(WHOLE));
}

#[test]
fn what_a_shell_makes_of_other_text() {
    use Severity::{Error, Warning};
    let whole = || block(WHOLE);
    for (rule, severity, words, bad, cured) in [
        ("command-cut", Error, "d.md:4\n    a blank follows the backslash", "run a \\ \n  --b\n", "run a \\\n  --b\n"),
        ("command-cut", Error, "d.md:5\n    this blank line", "run a \\\n\n  --b\n", "run a \\\n  --b\n"),
        ("shell-waits", Error, "the ' that closes", "run 'a\n", "run 'a'\n"),
        ("shell-waits", Error, "the end of the here-document", "run <<EOF\na\n", "run <<EOF\na\nEOF\n"),
        ("shell-waits", Warning, "another line", "run a \\\n", "run a\n"),
        ("prompt-in-block", Error, "a program called `$`", "$ cilium status\n", "cilium status\n"),
        ("typographic-character", Error, "U+201C", "run \u{201c}a\u{201d}\n", "run \"a\"\n"),
        ("sudo-kubeconfig", Warning, "/root/.kube/config", "sudo cilium status\n", "sudo -E cilium status\n"),
        ("unpinned-download", Warning, "another release every few weeks", "V=$(curl -s https://x/stable.txt)\n", "V=v0.18.3\n"),
        (
            "firewall-of-others",
            Warning,
            "too; it takes every rule out of table raw",
            "sudo iptables -t nat -F && sudo iptables -t raw -F\n",
            "sudo iptables -t nat -F CILIUM_POST_nat\n",
        ),
        ("firewall-of-others", Warning, "DOCKER is Docker's", "iptables -X DOCKER\n", "iptables -X OLD_CILIUM_INPUT\n"),
        ("firewall-by-position", Warning, "number 3 of INPUT", "iptables -D INPUT 3\n", "iptables -D INPUT -s 10.0.0.1 -j DROP\n"),
        ("unquoted-braces", Error, "into 2 words", "cilium install --version 1.16.2 --set devices={eth0,net0}\n", "true\n"),
        (
            "cli-upgrade-forgets-values",
            Warning,
            "before 0.16.22",
            "cilium upgrade --version 1.17.1 --set a=b\n",
            "cilium upgrade --version 1.17.1 --reuse-values --set a=b\n",
        ),
        (
            "helm-upgrade-forgets-values",
            Error,
            "forgets every value",
            "helm upgrade c cilium/cilium --version 1.17.1 --set a=b\n",
            "helm upgrade c cilium/cilium --version 1.17.1 --reuse-values --set a=b\n",
        ),
    ] {
        check(rule, severity, words, &block(bad), &block(cured));
        check(rule, severity, words, &format!("{}{}", block(bad), whole()), &format!("{}{}", block(cured), whole()));
    }
    let newest = block(&format!("V=$(curl -s https://x/stable.txt)\n{}", WHOLE.replace("1.17.1", "1.16.2")));
    check("unpinned-download", Warning, "is not made for Cilium 1.16.2", &newest, &block(WHOLE));
    let prose = "sudo systemctl stop docker\ndocker network ls\n";
    check(
        "commands-outside-block",
        Warning,
        "d.md:3\n    commands stand outside of any block, in 3, 4",
        &format!("text\n\n{prose}"),
        &block(prose),
    );
}

#[test]
fn objects_of_the_document_are_looked_at_with_its_flags() {
    use Severity::Error;
    let gateway = |name: &str, port: u16| {
        format!("kind: Gateway\nmetadata:\n  name: {name}\nspec:\n  listeners:\n    - name: a\n      port: {port}\n")
    };
    let yaml = |text: &str| format!("\n```yaml\n{text}```\n");
    let host = WHOLE.replace(
        "    --set encryption.enabled=true",
        "    --set gatewayAPI.hostNetwork.enabled=true \\\n    --set encryption.enabled=true",
    );
    let two = |port: u16| format!("{}{}{}", block(&host), yaml(&gateway("one", 8443)), yaml(&gateway("two", port)));
    check("host-network-one-port", Error, "d.md:26: Gateway/two: spec.listeners[0].port", &two(8443), &two(9443));
    let crd = |release: &str, channel: &str| {
        let url = "https://raw.githubusercontent.com/kubernetes-sigs/gateway-api";
        let names =
            ["standard/gatewayclasses", "standard/gateways", "standard/httproutes", "standard/grpcroutes", "standard/referencegrants"];
        let all = names.map(str::to_owned).into_iter().chain([format!("{channel}/tlsroutes")]);
        let line = |name: String| {
            let (channel, name) = name.split_once('/').unwrap();
            format!("kubectl apply -f {url}/{release}/config/crd/{channel}/gateway.networking.k8s.io_{name}.yaml\n")
        };
        block(&all.map(line).collect::<String>())
    };
    let route = yaml("apiVersion: gateway.networking.k8s.io/v1alpha2\nkind: TLSRoute\nmetadata:\n  name: r\n");
    let with = |release: &str, channel: &str| format!("{}{}{route}", crd(release, channel), block(WHOLE));
    check("tls-route-version", Error, "reads TLSRoute v1alpha2", &with("v1.5.0", "standard"), &with("v1.2.0", "experimental"));
    let late = format!("{}{}", block(WHOLE), crd("v1.2.0", "experimental"));
    check("definitions-after-install", Error, "in line 16", &late, &with("v1.2.0", "experimental"));
    check("yaml-unreadable", Error, "d.md:4", &yaml("a: b\n  c: d\nx:\n - y: [\n"), &yaml("a: b\n"));
    let applied =
        block("kubectl apply -f - <<EOF\nkind: CiliumL2AnnouncementPolicy\nmetadata:\n  name: p\nspec:\n  loadBalancerIPs: false\nEOF\n");
    let l2 = block("cilium install --version 1.16.2 --set kubeProxyReplacement=true --set l2announcements.enabled=true\n");
    let on = applied.replace("IPs: false", "IPs: true");
    check("policy-does-nothing", Error, "d.md:5: CiliumL2AnnouncementPolicy/p", &format!("{applied}{l2}"), &format!("{on}{l2}"));
}

#[test]
fn any_text_is_read_without_end_or_panic() {
    for text in [
        "",
        "```",
        "```bash\n\\",
        "```bash\n'",
        "```bash\n$(",
        "```bash\n<<",
        "```bash\n)))(((",
        "```bash\n[[ ; ]]\n",
        "```bash\n{a,{b,{c",
        "> ```sh\n> a \\\n> b\n> ```",
    ] {
        read("d.md", text, &profiles(), None);
    }
    let deep = format!("```bash\n{}\n```\n", "{a,b}".repeat(40));
    assert_eq!(read("d.md", &deep, &[], None).commands.len(), 1);
}
