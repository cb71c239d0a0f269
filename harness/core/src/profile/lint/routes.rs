//! TLSRoutes: which version is served and read, and what becomes of weights.

use super::flags::Subject;
use super::gateways::controller;
use super::{Found, Severity};
use crate::profile::known::known;
use crate::version::Version;

/// TLSRoute versions a Gateway API release does not serve.
pub(super) fn tls_route_version(subject: &Subject<'_>, found: &mut Found) {
    let Some(api) = &subject.flags.gateway_api else { return };
    let Some((release, served)) = served(&api.version, &api.crds) else { return };
    let says =
        |served: &[String]| if served.is_empty() { "no TLSRoute at all".to_owned() } else { format!("TLSRoute {}", served.join(", ")) };
    for route in subject.objects("TLSRoute") {
        // A scenario's placeholder has no such prefix: the planner fills in the right one.
        let Some(version) = route.api_version().strip_prefix("gateway.networking.k8s.io/") else { continue };
        if !served.iter().any(|known| known == version) {
            found.push(route.about("tls-route-version", Severity::Error, "apiVersion").says(
                format!("Gateway API {release} as installed serves {}, so the API server refuses {version}", says(&served)),
                if served.is_empty() {
                    "install experimental/tlsroutes".to_owned()
                } else {
                    format!("gateway.networking.k8s.io/{}", served[0])
                },
                &known().gateway_api.source,
            ));
        }
    }
    let Some(controller) = subject.flags.cilium.and_then(controller) else { return };
    if subject.is("gatewayAPI.enabled", "true") && !served.is_empty() && !served.contains(&controller.tls_route) {
        found.push(subject.about("tls-route-version", Severity::Error, ["gatewayAPI.enabled"]).says(
            format!(
                "Cilium's operator reads TLSRoute {}, and Gateway API {release} as installed serves {}: it ends again and again with `no matches \
                 for kind \"TLSRoute\"`",
                controller.tls_route,
                says(&served)
            ),
            "the definitions of the Gateway API release this Cilium is made for, or its experimental channel",
            format!("{}; cilium issues 44920, 45139", controller.source),
        ));
    }
}

/// Versions of TLSRoute that a release's definitions serve, the stored one first; empty when nobody asked for them.
pub fn tls_route_versions(release: &str, crds: &[String]) -> Vec<String> {
    served(release, crds).map(|(_, versions)| versions).unwrap_or_default()
}

/// Versions of TLSRoute in force, and the release.
fn served(release: &str, crds: &[String]) -> Option<(Version, Vec<String>)> {
    let version = Version::parse(release).ok()?;
    let routes = known().gateway_api.tls_routes.iter().find(|routes| routes.release.holds(version))?;
    let installed = |name: &str| crds.iter().any(|crd| crd == name);
    let served = match (installed("experimental/tlsroutes"), installed("tlsroutes") || installed("standard/tlsroutes")) {
        (true, _) => routes.experimental.clone(),
        (false, true) => routes.standard.clone(),
        (false, false) => Vec::new(),
    };
    Some((version, served))
}

/// Two backends of a TLSRoute.
pub(super) fn tls_route_weights(subject: &Subject<'_>, found: &mut Found) {
    let weighted = &known().gateway_api.weighted_tls_routes;
    if subject.flags.cilium.is_none_or(|cilium| weighted.holds(cilium)) {
        return;
    }
    for route in subject.objects("TLSRoute") {
        for (n, rule) in route.list("/spec/rules").iter().enumerate() {
            let backends = rule.get("backendRefs").and_then(serde_json::Value::as_array).map_or(0, Vec::len);
            if backends > 1 {
                found.push(route.about("tls-route-weights", Severity::Error, format!("spec.rules[{n}].backendRefs")).says(
                    format!("each of the {backends} backends becomes a filter chain with the same match: Envoy refuses the whole listener"),
                    "one backend a TLSRoute, or Cilium 1.18.12, 1.19.6, 1.20 or newer",
                    &weighted.source,
                ));
            }
        }
    }
}
