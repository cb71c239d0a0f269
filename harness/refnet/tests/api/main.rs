//! The reference network's Kubernetes API, as its clients see it.

#![allow(clippy::unwrap_used, reason = "tests")]

mod hostile;
mod kube;
mod kubectl;
mod refusals;
mod rules;
mod running;
mod versions;

use std::net::{IpAddr, Ipv4Addr, TcpListener};

use plumb_refnet::api::{ApiConfig, ApiServer, Pki, Serving};

/// A server with every Gateway API kind.
fn server() -> ApiServer {
    let crds = ["gatewayclasses", "gateways", "httproutes", "experimental/tlsroutes", "referencegrants", "grpcroutes"];
    ApiServer::new(ApiConfig { crds: crds.map(str::to_owned).to_vec() }).unwrap()
}

/// A server on loopback with its authority.
fn https() -> (Serving, String, Pki) {
    https_of(&server())
}

/// A certain server on loopback with its authority.
fn https_of(server: &ApiServer) -> (Serving, String, Pki) {
    let pki = Pki::new().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let tls = pki.server_config(&["localhost".to_owned()], &[IpAddr::V4(Ipv4Addr::LOCALHOST)]).unwrap();
    (server.serve(listener, tls).unwrap(), url, pki)
}
