//! Kinds of the Gateway API. Fields and types are those of the gateway-api crate; what the definitions add (list keys, defaults,
//! rules) is ours.

use gateway_api::backendtlspolicies::{BackendTlsPolicySpec, BackendTlsPolicyStatus};
use gateway_api::gatewayclasses::{GatewayClassSpec, GatewayClassStatus};
use gateway_api::gateways::{GatewaySpec, GatewayStatus};
use gateway_api::grpcroutes::{GrpcRouteSpec, GrpcRouteStatus};
use gateway_api::httproutes::{HttpRouteSpec, HttpRouteStatus};
use gateway_api::referencegrants::ReferenceGrantSpec;
use gateway_api::tlsroutes::{TlsRouteSpec, TlsRouteStatus};
use schemars::JsonSchema;
use serde::Serialize;

use super::column::Column;
use super::{Kind, SchemaSource, Version, schema};
use crate::api::schema::Schema;

/// The group.
const GROUP: &str = "gateway.networking.k8s.io";

/// For kinds without a status.
#[derive(Serialize, JsonSchema)]
struct NoStatus {}

/// The kind of a plural name.
pub(super) fn kind(plural: &str) -> Option<Kind> {
    let hostnames = || vec![Column::name(), Column::path("Hostnames", ".spec.hostnames"), Column::age()];
    let kind = match plural {
        "gatewayclasses" => make(
            "GatewayClass",
            plural,
            &["gc"],
            &["v1", "v1beta1"],
            gateway_class(),
            vec![
                Column::name(),
                Column::path("Controller", ".spec.controllerName"),
                Column::path("Accepted", r#".status.conditions[?(@.type=="Accepted")].status"#),
                Column::age(),
                Column::path("Description", ".spec.description").wide(),
            ],
        ),
        "gateways" => make(
            "Gateway",
            plural,
            &["gtw"],
            &["v1", "v1beta1"],
            gateway(),
            vec![
                Column::name(),
                Column::path("Class", ".spec.gatewayClassName"),
                Column::path("Address", ".status.addresses[*].value"),
                Column::path("Programmed", r#".status.conditions[?(@.type=="Programmed")].status"#),
                Column::age(),
            ],
        ),
        "httproutes" => make("HTTPRoute", plural, &[], &["v1", "v1beta1"], http_route(), hostnames()),
        "grpcroutes" => make("GRPCRoute", plural, &[], &["v1"], grpc_route(), hostnames()),
        "tlsroutes" => tls_routes(),
        "referencegrants" => {
            make("ReferenceGrant", plural, &["refgrant"], &["v1beta1"], reference_grant(), vec![Column::name(), Column::age()])
        }
        "backendtlspolicies" => {
            make("BackendTLSPolicy", plural, &["btlspolicy"], &["v1"], backend_tls_policy(), vec![Column::name(), Column::age()])
        }
        _ => return None,
    };
    Some(kind)
}

fn make(kind: &str, plural: &str, short: &[&str], versions: &[&str], schema: SchemaSource, columns: Vec<Column>) -> Kind {
    Kind {
        group: GROUP.to_owned(),
        kind: kind.to_owned(),
        plural: plural.to_owned(),
        singular: kind.to_ascii_lowercase(),
        short: short.iter().map(|s| (*s).to_owned()).collect(),
        categories: vec!["gateway-api".to_owned()],
        namespaced: kind != "GatewayClass",
        status: kind != "ReferenceGrant",
        generation: true,
        custom: true,
        selectable: &[],
        versions: versions
            .iter()
            .map(|name| Version { name: (*name).to_owned(), schema: schema.clone(), columns: columns.clone() })
            .collect(),
    }
}

fn gateway_class() -> SchemaSource {
    schema!(Schema::custom::<GatewayClassSpec, GatewayClassStatus>("GatewayClass"))
}

fn gateway() -> SchemaSource {
    schema!(Schema::custom::<GatewaySpec, GatewayStatus>("Gateway"))
}

fn http_route() -> SchemaSource {
    schema!(Schema::custom::<HttpRouteSpec, HttpRouteStatus>("HTTPRoute"))
}

fn grpc_route() -> SchemaSource {
    schema!(Schema::custom::<GrpcRouteSpec, GrpcRouteStatus>("GRPCRoute"))
}

/// The version of most releases first: it is what is served when no release was named.
fn tls_routes() -> Kind {
    let mut kind = make("TLSRoute", "tlsroutes", &[], &["v1alpha2", "v1alpha3", "v1"], tls_route(), vec![Column::name(), Column::age()]);
    // v1alpha2 has `hostnames` optional; the Rust type is v1's.
    kind.versions[0].schema =
        schema!(Schema::custom::<TlsRouteSpec, TlsRouteStatus>("TLSRoute").without_required("TlsRouteSpec", "hostnames"));
    kind
}

fn tls_route() -> SchemaSource {
    schema!(Schema::custom::<TlsRouteSpec, TlsRouteStatus>("TLSRoute"))
}

/// Served because Cilium 1.20 asks for it at start; the reference network's Gateway speaks plain text to its backends.
fn backend_tls_policy() -> SchemaSource {
    schema!(Schema::custom::<BackendTlsPolicySpec, BackendTlsPolicyStatus>("BackendTLSPolicy"))
}

fn reference_grant() -> SchemaSource {
    schema!(Schema::custom::<ReferenceGrantSpec, NoStatus>("ReferenceGrant"))
}
