//! Planning: one check a rule, and the bytes of a plan.

#![allow(clippy::unwrap_used, reason = "tests")]

use serde_json::json;

use super::*;
use crate::capability::Capability;
use crate::networks::NamedNetwork;
use crate::running::{Installed, Running};
use crate::scenario::model::{System, When};
use crate::values::Values;

const SCENARIO: &str = r#"format: 1
title: one request
intent: Passes if and only if one request is answered.
covers:
  - {document: cni-cilium, section: HTTPS, promise: A request is answered.}
lab: {workers: 2, networks: [eth0, net0], client: [eth0]}
install: {profile: small, also: [other], values: {devices: [eth0], encryption: {nodeEncryption: false}}}
backends:
  echo: {port: 8080}
steps:
  - apply: {id: put, file: manifests/pool.yaml}
  - http: {id: ask, to: {service: echo}, port: 8080, host: a.example, expect: {status: 200}}
  - during:
      watch:
        wire: {capture: {on: node/worker, interface: eth0}}
      steps:
        - l4: {id: payload, from: pod/echo, to: {node: worker2}, port: 1, protocol: tcp}
  - count: {id: seen, in: wire, canary: payload, min: 1}
faults:
  - {fault: backend-wrong-id, turns: [ask, seen], because: other backend}
variants:
  - name: old
    when: {cilium: "<1.18"}
    because: the old one answers with 404
    replace:
      - http: {id: ask, to: {service: echo}, port: 8080, host: a.example, expect: {status: 404}}
      - l4: {id: payload, from: pod/echo, to: {node: worker2}, port: 2, protocol: tcp}
    values: {old.flag: true}
  - name: blind
    when: {provider: refnet, profile: other}
    because: the other profile has no wire
    drop: [seen]
"#;

const POOL: &str =
    "apiVersion: ${api:pool}\nkind: CiliumLoadBalancerIPPool\nmetadata: {name: p}\nspec:\n  blocks: [{start: '${vip:net0:0}'}]\n";

fn profile(name: &str, cilium: &str) -> Profile {
    let text = format!(
        "format: 1\nname: {name}\ntitle: t\nsource: s\ncilium: {cilium}\nasWritten: [kubeProxyReplacement=true]\n\
         asMeant: {{kubeProxyReplacement: true, operator.replicas: 2, encryption.nodeEncryption: true}}\n"
    );
    crate::profile::parse("p.yaml", &text).unwrap()
}

struct Case {
    scenario: Scenario,
    manifests: BTreeMap<String, String>,
    profile: Profile,
    provider: Capability,
    values: Values,
    fault: Option<&'static str>,
    unavailable: Vec<String>,
}

impl Case {
    fn new() -> Case {
        Case {
            scenario: crate::scenario::parse("s.yaml", SCENARIO).unwrap_or_else(|mistakes| panic!("{mistakes}")),
            manifests: [("manifests/pool.yaml".to_owned(), POOL.to_owned())].into(),
            profile: profile("small", "1.20.0"),
            provider: Capability::refnet(),
            values: Values::new(),
            fault: None,
            unavailable: Vec::new(),
        }
    }

    fn plan(&self) -> Result<Plan, PlanErrors> {
        plan(&PlanInput {
            upgrades: None,
            name: "http-one",
            scenario: &self.scenario,
            manifests: &self.manifests,
            profile: &self.profile,
            provider: &self.provider,
            unavailable: &self.unavailable,
            values: &self.values,
            fault: self.fault,
            seed: 7,
        })
    }

    #[track_caller]
    fn skips(&self) -> Vec<String> {
        match self.plan().unwrap().disposition {
            Disposition::Run => Vec::new(),
            Disposition::Skip(reasons) => reasons,
        }
    }

    #[track_caller]
    fn refused(&self, expected: &str) {
        let message = self.plan().unwrap_err().to_string();
        assert!(message.contains(expected), "expected `{expected}`, got: {message}");
    }
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let case = Case::new();
    let first = case.plan().unwrap().to_json();
    assert_eq!(first, case.plan().unwrap().to_json());
    assert_eq!(read(&first).unwrap(), case.plan().unwrap());
    insta::assert_snapshot!("plan_v1", first);
}

#[test]
fn a_plan_of_version_1_is_read_for_good_and_newer_ones_are_refused() {
    // The golden file is what a release of format 1 wrote; it must be read as long as version 1 is.
    let golden = include_str!("snapshots/plumb_core__plan__tests__plan_v1.snap");
    let json = golden.splitn(3, "---\n").nth(2).unwrap();
    assert_eq!(read(json).unwrap().version, 1);
    let newer = json.replacen("\"version\": 1", "\"version\": 2", 1).replacen("\"trial\"", "\"tried\"", 1);
    assert!(matches!(read(&newer), Err(ReadError::Newer { version: 2 })));
    assert!(matches!(read("{}"), Err(ReadError::Malformed(_))));
    assert!(matches!(read(""), Err(ReadError::Malformed(_))));
}

#[test]
fn values_are_the_profiles_then_the_scenarios_then_the_variants_then_the_users() {
    let mut case = Case::new();
    case.profile = profile("small", "1.17.1");
    case.values = serde_json::from_value(json!({"operator": {"replicas": null}, "devices": "{net0}"})).unwrap();
    let plan = case.plan().unwrap();
    let expected = json!({"kubeProxyReplacement": true, "encryption.nodeEncryption": false, "devices": "{net0}", "old.flag": true});
    assert_eq!(json!(plan.values), expected);
    assert_eq!(plan.unmodelled, ["old.flag=true"]);
    assert_eq!(plan.variants, ["old"]);
}

#[test]
fn variants_replace_and_drop_by_id_inside_during_too() {
    let mut case = Case::new();
    case.profile = profile("small", "1.17.1");
    let text = case.plan().unwrap().to_json();
    assert!(text.contains("404") && !text.contains("\"status\": 200"));
    assert!(text.contains("\"port\": 2,"));

    case.profile = profile("other", "1.20.0");
    let plan = case.plan().unwrap();
    assert_eq!(plan.scenario.checks(), ["ask"]);
    assert_eq!(plan.scenario.faults[0].turns, ["ask"], "a fault does not turn what is not checked");
    assert_eq!(plan.trial, "refnet::http-one@other");
    assert_eq!(plan.variants, ["blind"]);
}

#[test]
fn a_variant_of_a_system_holds_whoever_made_it() {
    let reference = Running { installed: Installed::Reference { values: BTreeMap::new() }, ..Running::default() };
    let found = |running: Running| Capability::kubeconfig().adopting(running);
    for (provider, system) in [
        (Capability::refnet(), System::Reference),
        (found(reference), System::Reference),
        (Capability::kind(), System::Cilium),
        (found(Running::default()), System::Cilium),
    ] {
        for wanted in [System::Cilium, System::Reference] {
            let mut case = Case::new();
            case.provider = provider.clone();
            case.scenario.variants[1].when = When { system: Some(wanted), ..When::default() };
            let plan = case.plan().unwrap();
            assert_eq!(plan.variants == ["blind"], wanted == system, "{}: {wanted:?}: {:?}", provider.provider, plan.variants);
        }
    }
}

#[test]
fn a_variant_must_not_take_what_another_step_needs() {
    let mut case = Case::new();
    case.scenario.variants[1].drop = vec!["payload".to_owned()];
    case.profile = profile("other", "1.20.0");
    case.refused("seen needs `payload`, which a variant dropped");
}

#[test]
fn placeholders_the_planner_knows_are_filled_and_the_others_checked() {
    let mut case = Case::new();
    let pool = |case: &Case| case.plan().unwrap().manifests["manifests/pool.yaml"].clone();
    assert!(pool(&case).starts_with("apiVersion: cilium.io/v2\n"));
    assert!(pool(&case).contains("${vip:net0:0}"), "the engine fills what only the lab knows");
    case.profile = profile("small", "1.17.1");
    assert!(pool(&case).starts_with("apiVersion: cilium.io/v2alpha1\n"));
    for (text, expected) in [
        ("${vip:net1:0}", "this lab has no value for `${vip:net1:0}`"),
        ("${vip:net0:31}", "this lab has no value for `${vip:net0:31}`"),
        ("${node:worker3}", "this lab has no value for `${node:worker3}`"),
        ("${vpi:net0:0}", "`${vpi:net0:0}` is not a placeholder"),
        ("${vip:net0:0", "`${vip:net0:0'}` is not a placeholder"),
        ("${", "is not a placeholder"),
        ("x'}]\n# ${vip:net0:0\n# }", "never ends"),
    ] {
        case.manifests.insert("manifests/pool.yaml".to_owned(), POOL.replace("${vip:net0:0}", text));
        case.refused(expected);
    }
}

#[test]
fn manifests_are_looked_at_before_anything_is_made() {
    let mut case = Case::new();
    for (text, expected) in [
        ("", "the manifest holds no object"),
        ("kind: Pod\n", "the object has no `apiVersion`"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {}\n", "the object has no `metadata.name`"),
        ("apiVersion: v1\nkind: [Pod]\nmetadata: {name: a}\n", "http-one/manifests/pool.yaml:2:7"),
        ("- a\n", "expected an object"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n---\napiVersion: v1\nkind: {\n", "read the file as YAML"),
    ] {
        case.manifests.insert("manifests/pool.yaml".to_owned(), text.to_owned());
        case.refused(expected);
    }
    case.manifests = [("manifests/pol.yaml".to_owned(), POOL.to_owned())].into();
    case.refused("find the manifest `manifests/pool.yaml` of scenario http-one: it is not beside the scenario\nhint: did you mean `manifests/pol.yaml`?");
}

#[test]
fn what_a_provider_lacks_is_a_reason_to_skip_and_all_are_told() {
    let mut case = Case::new();
    assert_eq!(case.skips(), [] as [&str; 0]);
    case.provider = Capability::kubeconfig();
    case.unavailable = vec!["no kubeconfig was given".to_owned()];
    case.profile = profile("third", "1.20.0");
    case.fault = Some("backend-wrong-id");
    assert_eq!(
        case.skips(),
        [
            "no kubeconfig was given",
            "it is meant for profile small, other, not third",
            "kubeconfig has no outside client (--client-here makes this machine one)",
            "kubeconfig has no second network net0 (--network names its interface)",
            "kubeconfig has no virtual address on net0 (--network names them)",
            "kubeconfig has no fault backend-wrong-id: faults are switches of the reference network",
        ]
    );
}

#[test]
fn networks_that_were_named_are_there_with_as_many_addresses_as_were_named() {
    let mut case = Case::new();
    case.manifests.insert("manifests/pool.yaml".to_owned(), POOL.replace("${vip:net0:0}", "${vip:net0:9}"));
    let with = |network: &str| Capability::kubeconfig().with_client().with_networks(&[NamedNetwork::parse(network).unwrap()]);
    case.provider = with("net0=ens19,10.0.0.1-10.0.0.9");
    assert_eq!(case.skips(), ["kubeconfig has no 10 virtual addresses on net0 (--network names them)"]);
    case.provider = with("net0=ens19,10.0.0.1-10.0.0.10");
    assert_eq!(case.skips(), [] as [&str; 0]);
    case.provider = with("net1=ens19,10.0.0.1-10.0.0.10");
    assert_eq!(case.skips()[0], "kubeconfig has no second network net0 (--network names its interface)");
    // Where nodes are made, a number that is not there is a mistake of the scenario.
    case.provider = Capability::refnet();
    case.manifests.insert("manifests/pool.yaml".to_owned(), POOL.replace("${vip:net0:0}", "${vip:net0:31}"));
    assert!(case.plan().unwrap_err().to_string().contains("this lab has no value for `${vip:net0:31}`"));
}

#[test]
fn an_unknown_fault_names_the_nearest_and_one_the_scenario_does_not_declare_is_allowed() {
    let mut case = Case::new();
    case.fault = Some("encryption-of");
    case.refused("find a fault named `encryption-of`\nhint: did you mean `encryption-off`?");
    case.fault = Some("encryption-off");
    assert_eq!(case.plan().unwrap().fault.as_deref(), Some("encryption-off"));
}

#[test]
fn a_cluster_that_runs_decides_the_variant_and_what_is_skipped() {
    let mut case = Case::new();
    let config = |text: &str| [("kube-proxy-replacement".to_owned(), text.to_owned())].into();
    let running = |text: &str| Running {
        system: "Cilium v1.17.3 on Kubernetes v1.32.0".into(),
        installed: Installed::Cilium { version: Some(crate::version::Version(1, 17, 3)), config: config(text) },
        control_planes: 1,
        workers: 2,
        ..Running::default()
    };
    case.scenario.lab.networks = vec!["eth0".into()];
    case.manifests.insert("manifests/pool.yaml".into(), POOL.replace("net0", "eth0"));
    case.provider = Capability { virtual_addresses: 1, vantages: ["client", "node", "pod"].into(), ..Capability::kubeconfig() }
        .adopting(running("true"));
    let plan = case.plan().unwrap();
    assert_eq!(plan.disposition, Disposition::Run);
    assert_eq!(plan.variants, ["old"]);
    assert!(plan.manifests["manifests/pool.yaml"].contains("cilium.io/v2alpha1"), "the running version serves no newer one");
    let devices = "devices=[\"eth0\"] is not in force: `devices` is nothing in cilium-config, expected eth0";
    assert_eq!(plan.adopted.unwrap().differences, ["Cilium 1.17.3 runs, the profile is for 1.20.0", devices]);
    case.provider = Capability { running: Some(running("false")), ..case.provider };
    assert!(case.skips()[0].contains("kubeProxyReplacement=true is not in force"), "{:?}", case.skips());
}

#[test]
fn a_lab_by_hand_is_the_trials_lab_without_the_trial() {
    let case = Case { profile: profile("elsewhere", "1.20.0"), ..Case::new() };
    let trial = case.plan().unwrap();
    assert!(matches!(&trial.disposition, Disposition::Skip(reasons) if reasons[0].starts_with("it is meant for profile")));
    let bare = trial.clone().by_hand(Furnished::Bare, &case.provider, &[]);
    assert_eq!(bare.disposition, Disposition::Run);
    assert_eq!((&bare.scenario.lab, &bare.values, bare.installed()), (&trial.scenario.lab, &trial.values, trial.installed()));
    assert!(bare.scenario.steps.is_empty() && bare.scenario.backends.is_empty() && bare.manifests.is_empty());
    let furnished = trial.clone().by_hand(Furnished::AsForTheSteps, &case.provider, &[]);
    assert_eq!((furnished.scenario.steps.len(), furnished.scenario.backends.len(), furnished.manifests.len()), (1, 1, 1));
    assert!(furnished.scenario.checks().is_empty());
}

#[test]
fn a_lab_by_hand_that_cannot_be_made_says_why() {
    let case = Case { fault: Some("backend-wrong-id"), provider: Capability::kind(), ..Case::new() };
    let plan = case.plan().unwrap().by_hand(Furnished::Bare, &case.provider, &["no Docker".to_owned()]);
    let Disposition::Skip(reasons) = plan.disposition else { panic!("it runs") };
    assert_eq!(reasons[0], "no Docker");
    assert!(reasons[1].starts_with("kind has no fault backend-wrong-id"), "{reasons:?}");
}

#[test]
fn nothing_that_is_judged_of_a_lab_by_hand_is_green() {
    let plan = Case::new().plan().unwrap().by_hand(Furnished::AsForTheSteps, &Capability::refnet(), &[]);
    assert_eq!(crate::verdict::judge(&plan, &[]).outcome, crate::verdict::Outcome::Unknown);
}

/// The scenario with other steps.
fn with_steps(steps: &str) -> Case {
    let mut case = Case::new();
    let text = SCENARIO.split("steps:\n").next().unwrap().to_owned() + "steps:\n" + steps;
    case.scenario = crate::scenario::parse("s.yaml", &text).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    case
}

const POLICY: &str = "{file: manifests/policy.yaml}";

#[test]
fn a_lease_test_never_takes_the_control_plane() {
    let policy = |selector: &str| {
        format!(
            "apiVersion: cilium.io/v2alpha1\nkind: CiliumL2AnnouncementPolicy\nmetadata: {{name: all}}\nspec:\n  interfaces: [^net0$]\n{selector}"
        )
    };
    let workers = "  nodeSelector:\n    matchExpressions:\n    - {key: node-role.kubernetes.io/control-plane, operator: DoesNotExist}\n";
    let lease = "  - lease: {id: who, service: echo, expect: {held: true}}\n";
    let by_holder = [
        "node: {id: hit, node: 'holder:echo', action: stop}",
        "node: {id: hit, node: 'holder:echo', action: pause}",
        "link: {id: hit, node: 'holder:echo', interface: net0, action: down}",
        "partition: {id: hit, node: 'holder:echo', from: api, action: cut}",
    ];
    for step in by_holder {
        let mut case = with_steps(&format!("  - apply: {POLICY}\n{lease}  - {step}\n"));
        case.manifests.insert("manifests/policy.yaml".into(), policy(""));
        case.refused("plan step hit: it acts on holder:echo, and policy all lets control planes hold the lease");
        case.manifests.insert("manifests/policy.yaml".into(), policy(workers));
        assert_eq!(case.skips(), Vec::<String>::new(), "{step}");
    }
    let by_name = [
        "node: {id: hit, node: control-plane, action: stop}",
        "link: {id: hit, node: control-plane, interface: eth0, action: down}",
        "partition: {id: hit, node: control-plane, from: nodes, action: cut}",
    ];
    for step in by_name {
        with_steps(&format!("{lease}  - {step}\n")).refused("it acts on control-plane, and no lease moves without the API it serves");
        // Where nobody asks for a lease it may be what is tested.
        let ask = "  - http: {id: ask, to: {service: echo}, port: 8080, host: a.example, expect: {status: 200}}\n";
        assert_eq!(with_steps(&format!("{ask}  - {step}\n")).skips(), Vec::<String>::new(), "{step}");
    }
    // The API alone may stand still, and an agent is started again.
    for step in ["api: {id: hit, action: pause}", "agent: {id: hit, node: control-plane, action: kill}"] {
        assert_eq!(with_steps(&format!("{lease}  - {step}\n")).skips(), Vec::<String>::new(), "{step}");
    }
}

#[test]
fn a_cluster_of_somebody_else_is_not_broken() {
    let ask = "  - http: {id: ask, from: pod/echo, to: {service: echo}, port: 8080, host: a.example, expect: {status: 200}}\n";
    for (step, words) in [
        ("link: {node: worker, interface: eth0, action: down}", "way to set a link of a node down"),
        ("partition: {node: worker, from: nodes, action: cut}", "way to cut a node off"),
        ("agent: {node: worker, action: kill}", "way to kill Cilium's agent"),
        ("api: {action: pause}", "way to pause the API server"),
    ] {
        let mut case = with_steps(&format!("{ask}  - {step}\n"));
        assert!(case.scenario.is_disruptive(), "{step}");
        for provider in [Capability::refnet(), Capability::kind()] {
            case.provider = provider;
            assert_eq!(case.skips(), Vec::<String>::new(), "{step}");
        }
        case.provider = Capability::kubeconfig();
        assert!(case.skips().contains(&format!("kubeconfig has no {words}")), "{step}: {:?}", case.skips());
    }
    assert!(!with_steps(ask).scenario.is_disruptive());
}
