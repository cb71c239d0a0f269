//! Gateway API definitions a document applies, read from the addresses it applies them from.

use super::install::Program;
use crate::scenario::model::GatewayApi;
use crate::version::Version;

/// The definitions of every `kubectl apply` of a document, and the first line that applies one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Definitions {
    pub(super) line: Option<usize>,
    pub(super) api: Option<GatewayApi>,
}

impl Definitions {
    /// Adds what a command applies.
    pub(super) fn take(&mut self, line: usize, program: &Program) {
        let verb = program.args.first().map(|(_, arg)| arg.as_str());
        if program.name != "kubectl" || !matches!(verb, Some("apply" | "create")) {
            return;
        }
        for (version, names) in program.args.iter().filter_map(|(_, arg)| of_address(arg)) {
            self.line.get_or_insert(line);
            let api = self.api.get_or_insert_with(|| GatewayApi { version, crds: Vec::new() });
            api.crds.extend(names);
        }
    }
}

/// Release and names of `.../gateway-api/v1.2.0/config/crd/standard/gateway.networking.k8s.io_gateways.yaml` or of
/// `.../gateway-api/releases/download/v1.2.0/standard-install.yaml`.
fn of_address(address: &str) -> Option<(String, Vec<String>)> {
    let (_, rest) = address.split_once("kubernetes-sigs/gateway-api/")?;
    if let Some((_, rest)) = rest.split_once("releases/download/") {
        let (version, file) = rest.split_once('/')?;
        let release = Version::parse(version).ok()?;
        let channel = file.strip_suffix("-install.yaml")?;
        let mut names = ["gatewayclasses", "gateways", "httproutes", "grpcroutes", "referencegrants"].map(str::to_owned).to_vec();
        names.extend((release >= Version(1, 4, 0)).then(|| "backendtlspolicies".to_owned()));
        match channel {
            "experimental" => names.push("experimental/tlsroutes".to_owned()),
            _ => names.extend((release >= Version(1, 5, 0)).then(|| "tlsroutes".to_owned())),
        }
        return Some((version.to_owned(), names));
    }
    let (version, rest) = rest.split_once("/config/crd/")?;
    let (channel, file) = rest.split_once('/')?;
    let name = file.strip_prefix("gateway.networking.k8s.io_")?.strip_suffix(".yaml")?;
    Version::parse(version).ok()?;
    Some((version.to_owned(), vec![if channel == "experimental" { format!("experimental/{name}") } else { name.to_owned() }]))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn addresses_say_release_channel_and_name() {
        let raw = "https://raw.githubusercontent.com/kubernetes-sigs/gateway-api/v1.2.0/config/crd";
        let of = |text: &str| of_address(text).map(|(version, names)| format!("{version} {}", names.join(" ")));
        let file = |channel: &str, name: &str| format!("{raw}/{channel}/gateway.networking.k8s.io_{name}.yaml");
        assert_eq!(of(&file("standard", "gateways")).unwrap(), "v1.2.0 gateways");
        assert_eq!(of(&file("experimental", "tlsroutes")).unwrap(), "v1.2.0 experimental/tlsroutes");
        let bundle = |version: &str, channel: &str| {
            of(&format!("https://github.com/kubernetes-sigs/gateway-api/releases/download/{version}/{channel}-install.yaml")).unwrap()
        };
        assert!(!bundle("v1.2.0", "standard").contains("tlsroutes"));
        assert!(bundle("v1.2.0", "experimental").ends_with("experimental/tlsroutes"));
        assert!(bundle("v1.5.0", "standard").ends_with("backendtlspolicies tlsroutes"));
        assert_eq!(of("https://example.com/gateway.yaml"), None);
    }
}
