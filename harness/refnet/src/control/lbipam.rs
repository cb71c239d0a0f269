//! LB-IPAM: gives Services of type LoadBalancer addresses from CiliumLoadBalancerIPPools and says so in their statuses.

use std::net::Ipv4Addr;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Service;
use kube::discovery::ApiResource;
use serde_json::{Value, json};

use super::pools::{Claim, Grant, Pool, PoolSpec, PoolState, VERSION, assign};
use super::write::{Subject, Written, now};
use super::{Cluster, Controller};
use crate::fault::Fault;
use crate::gateway::model::{Condition, merge_conditions};
use crate::gateway::objects::{Item, resource_of};

/// Classes it serves besides the absent one.
const CLASSES: [&str; 2] = ["io.cilium/l2-announcer", "io.cilium/bgp-control-plane"];

/// Condition of a Service.
const SATISFIED: &str = "io.cilium/lb-ipam-request-satisfied";

/// The LB-IPAM controller.
#[derive(Debug, Default)]
pub(super) struct LbIpam {
    written: Written,
}

impl Controller for LbIpam {
    async fn step(&mut self, cluster: &Cluster) -> Result<(), kube::Error> {
        if cluster.faults.has(Fault::GatewayNoAddress) {
            return Ok(());
        }
        let services = ApiResource::erase::<Service>(&());
        let mut all: Vec<_> =
            cluster.source.services().all().into_iter().filter(|service| service.metadata.deletion_timestamp.is_none()).collect();
        all.sort_by_key(|service| (service.metadata.creation_timestamp.as_ref().map(|time| time.0.to_string()), key(service)));
        let (wanting, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|service| wants(service));
        // What cannot be written keeps nothing else from being written.
        let mut outcome = Ok(());
        for service in others.iter().filter(|service| is_marked(service) && !is_foreign(service)) {
            outcome = outcome.and(self.say(cluster, &services, service, None).await);
        }
        let mut pools: Vec<Item<PoolSpec>> = cluster.pools.all().iter().filter_map(|object| Item::read(object)).collect();
        pools.sort_by_key(Item::age);
        let listed: Vec<_> = pools.iter().map(|pool| Pool { name: pool.name().to_owned(), spec: pool.spec.clone() }).collect();
        let claims: Vec<_> = wanting.iter().map(|service| self.claim(&services, service)).collect();
        let (mut grants, states) = assign(&listed, &claims);
        if cluster.faults.has(Fault::AddressWithoutPool) {
            give_anyway(&mut grants);
        }
        for (service, grant) in wanting.iter().zip(&grants) {
            outcome = outcome.and(self.say(cluster, &services, service, Some(grant)).await);
        }
        for (pool, state) in pools.iter().zip(&states) {
            outcome = outcome.and(self.say_pool(cluster, pool, state).await);
        }
        outcome
    }
}

impl LbIpam {
    /// What a Service wants, with the addresses it has by the newest status known: one the mirror has not seen yet is not given twice.
    fn claim(&self, resource: &ApiResource, service: &Arc<Service>) -> Claim {
        let (namespace, name) = key(service);
        let mirrored = serde_json::to_value(&service.status).unwrap_or(Value::Null);
        let status = self.written.newest(subject(resource, service, &(namespace.clone(), name.clone())), &mirrored);
        let ingress = status.pointer("/loadBalancer/ingress").and_then(Value::as_array).cloned().unwrap_or_default();
        let has = ingress.iter().filter_map(|entry| entry.get("ip")?.as_str()?.parse().ok()).collect();
        let mut labels = service.metadata.labels.clone().unwrap_or_default();
        labels.insert("io.kubernetes.service.namespace".to_owned(), namespace);
        labels.insert("io.kubernetes.service.name".to_owned(), name);
        Claim { labels, asked: asked(service), has }
    }

    async fn say(
        &mut self,
        cluster: &Cluster,
        resource: &ApiResource,
        service: &Service,
        grant: Option<&Grant>,
    ) -> Result<(), kube::Error> {
        let key = key(service);
        let subject = subject(resource, service, &key);
        let mirrored = serde_json::to_value(&service.status).unwrap_or(Value::Null);
        let known = self.written.newest(subject, &mirrored).clone();
        let condition = match grant {
            Some(grant) if grant.reason == "satisfied" => Condition::yes(SATISFIED, "satisfied", ""),
            Some(grant) => Condition::no(SATISFIED, grant.reason, sentence(grant.reason)),
            None => Condition::no(SATISFIED, "not_a_load_balancer", "The Service does not ask for a load balancer address any more"),
        };
        let addresses = grant.map(|grant| grant.addresses.as_slice()).unwrap_or_default();
        let ingress: Vec<_> = addresses.iter().map(|address| json!({"ip": address.to_string(), "ipMode": "VIP"})).collect();
        let ingress = if ingress.is_empty() { Value::Null } else { Value::Array(ingress) };
        let generation = service.metadata.generation.unwrap_or_default();
        let conditions = merge_conditions(known.get("conditions").unwrap_or(&Value::Null), &[condition], generation, &now());
        // An absent list and an empty one are the same thing here.
        let before = known.pointer("/loadBalancer/ingress").cloned().filter(|list| list.as_array().is_none_or(|list| !list.is_empty()));
        if before.unwrap_or(Value::Null) == ingress && known.get("conditions") == Some(&Value::Array(conditions.clone())) {
            return Ok(());
        }
        let status = json!({"loadBalancer": {"ingress": ingress}, "conditions": conditions});
        self.written.status(&cluster.client, subject, &Value::Null, &status).await
    }

    async fn say_pool(&mut self, cluster: &Cluster, pool: &Item<PoolSpec>, state: &PoolState) -> Result<(), kube::Error> {
        let resource = resource_of("cilium.io", VERSION, "CiliumLoadBalancerIPPool", "ciliumloadbalancerippools");
        let subject = Subject { resource: &resource, namespace: "", name: pool.name(), version: pool.meta.resource_version.as_deref() };
        let known = self.written.newest(subject, &pool.status).clone();
        let conflict = match &state.conflict {
            None => Condition::no("cilium.io/PoolConflict", "resolved", ""),
            Some(older) => Condition::yes("cilium.io/PoolConflict", "cidr_overlap", format!("Pool conflicts with older pool {older}")),
        };
        // Cilium carries the counts in the messages of conditions that are neither true nor false.
        let count = |kind, number: u64| Condition { kind, status: "Unknown", reason: "noreason".to_owned(), message: number.to_string() };
        let conditions = [
            conflict,
            count("cilium.io/IPsTotal", state.total),
            count("cilium.io/IPsAvailable", state.total - state.used),
            count("cilium.io/IPsUsed", state.used),
        ];
        let old = known.get("conditions").unwrap_or(&Value::Null);
        let status = json!({"conditions": merge_conditions(old, &conditions, pool.generation(), &now())});
        self.written.status(&cluster.client, subject, &known, &status).await
    }
}

/// An address of nobody's (TEST-NET-1, RFC 5737) for each Service that gets none for want of a pool.
fn give_anyway(grants: &mut [Grant]) {
    for (grant, last) in grants.iter_mut().zip(1..=254).filter(|(grant, _)| grant.reason == "no_pool") {
        *grant = Grant { addresses: vec![Ipv4Addr::new(192, 0, 2, last)], reason: "satisfied" };
    }
}

fn key(service: &Service) -> (String, String) {
    (service.metadata.namespace.clone().unwrap_or_default(), service.metadata.name.clone().unwrap_or_default())
}

fn subject<'a>(resource: &'a ApiResource, service: &'a Service, key: &'a (String, String)) -> Subject<'a> {
    Subject { resource, namespace: &key.0, name: &key.1, version: service.metadata.resource_version.as_deref() }
}

fn sentence(reason: &str) -> &'static str {
    match reason {
        "no_pool" => "There are no enabled CiliumLoadBalancerIPPools",
        "pool_selector_mismatch" => "No enabled CiliumLoadBalancerIPPool selects this Service",
        _ => "No address that may be given is free in the pools that select this Service",
    }
}

fn is_foreign(service: &Service) -> bool {
    let class = service.spec.as_ref().and_then(|spec| spec.load_balancer_class.as_deref());
    class.is_some_and(|class| !CLASSES.contains(&class))
}

/// Whether a Service is one of ours to give an address.
fn wants(service: &Service) -> bool {
    service.spec.as_ref().is_some_and(|spec| spec.type_.as_deref() == Some("LoadBalancer")) && !is_foreign(service)
}

/// Whether it has an address from here.
fn is_marked(service: &Service) -> bool {
    let balancer = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    balancer.and_then(|balancer| balancer.ingress.as_ref()).is_some_and(|ingress| !ingress.is_empty())
}

/// Addresses asked for by name: the annotation, its older spelling, or the deprecated field.
fn asked(service: &Service) -> Vec<Ipv4Addr> {
    let annotations = service.metadata.annotations.as_ref();
    let text = ["lbipam.cilium.io/ips", "io.cilium/lb-ipam-ips"].iter().find_map(|name| annotations?.get(*name));
    let text = text.cloned().or_else(|| service.spec.as_ref()?.load_balancer_ip.clone()).unwrap_or_default();
    text.split(',').filter_map(|address| address.trim().parse().ok()).collect()
}
