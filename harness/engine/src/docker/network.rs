//! Networks of a lab: bridges with a subnet that collides with nothing.

use std::collections::HashMap;

use bollard::models::{EndpointIpamConfig, EndpointSettings, Ipam, IpamConfig};
use bollard::models::{Network as DockerNetwork, NetworkConnectRequest, NetworkCreateRequest, NetworkDisconnectRequest};
use bollard::query_parameters::ListNetworksOptionsBuilder;
use nix::ifaddrs::getifaddrs;

use super::subnet::{Block, Subnet, choose, routes};
use super::{Claim, DockerError, Engine, OWNER_LABEL, failed, unless_missing};

/// How often another subnet is tried when somebody else took the one that was chosen.
const TRIES: u64 = 16;

/// Whether a network leads out of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Egress {
    /// Nodes reach the outside through it.
    Outside,
    /// It leads nowhere, and never becomes a container's default route.
    None,
}

/// A network that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// Its name.
    pub name: String,
    /// Its subnet.
    pub subnet: Subnet,
}

impl Engine {
    /// Makes a network. Two that choose the same subnet at the same moment do not get it both: Docker refuses one, which chooses again.
    ///
    /// # Errors
    /// See [`DockerError`]; a name that is taken is one.
    pub async fn make_network(&self, name: &str, egress: Egress, claim: &Claim) -> Result<Network, DockerError> {
        let operation = format!("make the network {name}");
        if !self.named(name).await?.is_empty() {
            // Docker itself allows two networks of one name, and then refuses to remove either by it.
            let message = format!("network with name {name} already exists");
            return Err(DockerError::Refused { operation, status: 409, message });
        }
        let salt = name.bytes().fold(claim.owner.start, |hash, byte| hash.wrapping_mul(31).wrapping_add(u64::from(byte)));
        let mut last = DockerError::NoSubnet;
        for attempt in 0..TRIES {
            let subnet = choose(&self.taken().await?, salt.wrapping_add(attempt)).ok_or(DockerError::NoSubnet)?;
            let ipam = IpamConfig {
                subnet: Some(subnet.cidr()),
                ip_range: Some(subnet.handed_out()),
                gateway: Some(subnet.gateway().to_string()),
                auxiliary_addresses: None,
            };
            let request = NetworkCreateRequest {
                name: name.to_owned(),
                driver: Some("bridge".into()),
                internal: Some(egress == Egress::None),
                enable_ipv6: Some(false),
                ipam: Some(Ipam { driver: Some("default".into()), config: Some(vec![ipam]), options: None }),
                labels: Some(claim.labels()),
                ..NetworkCreateRequest::default()
            };
            match self.docker.create_network(request).await.map_err(|error| failed(operation.as_str(), error)) {
                Ok(_) => return Ok(Network { name: name.to_owned(), subnet }),
                Err(error) if overlaps(&error) => last = error,
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }

    /// Takes a network of ours away; one that is gone is no error. One with containers on it is, and one without our labels is left.
    ///
    /// # Errors
    /// See [`DockerError`].
    pub async fn remove_network(&self, name: &str) -> Result<(), DockerError> {
        for network in self.named(name).await? {
            let (Some(id), Some(_)) = (network.id, network.labels.as_ref().and_then(Claim::read)) else { continue };
            let removed = self.docker.remove_network(&id).await;
            unless_missing(removed.map_err(|error| failed(format!("remove the network {name}"), error)))?;
        }
        Ok(())
    }

    async fn named(&self, name: &str) -> Result<Vec<DockerNetwork>, DockerError> {
        // Docker's own filter takes a part of a name as well.
        let filters = HashMap::from([("name", vec![name])]);
        let options = ListNetworksOptionsBuilder::new().filters(&filters).build();
        let networks = self.docker.list_networks(Some(options)).await.map_err(|error| failed("list the networks", error))?;
        Ok(networks.into_iter().filter(|network| network.name.as_deref() == Some(name)).collect())
    }

    /// Connects a container, with an address where one is given.
    ///
    /// # Errors
    /// See [`DockerError`].
    pub async fn connect_to(&self, network: &str, container: &str, address: Option<std::net::Ipv4Addr>) -> Result<(), DockerError> {
        let ipam_config =
            address.map(|address| EndpointIpamConfig { ipv4_address: Some(address.to_string()), ..EndpointIpamConfig::default() });
        let endpoint = EndpointSettings { ipam_config, ..EndpointSettings::default() };
        let request = NetworkConnectRequest { container: container.to_owned(), endpoint_config: Some(endpoint) };
        let connected = self.docker.connect_network(network, request).await;
        connected.map_err(|error| failed(format!("connect {container} to the network {network}"), error))
    }

    /// Disconnects a container: its interface on that network is gone, if it still has the name Docker gave it. One that was named
    /// anew stays up (seen with Docker 20.10): take its link down instead.
    ///
    /// # Errors
    /// See [`DockerError`].
    pub async fn disconnect_from(&self, network: &str, container: &str) -> Result<(), DockerError> {
        let request = NetworkDisconnectRequest { container: container.to_owned(), force: Some(true) };
        let disconnected = self.docker.disconnect_network(network, request).await;
        disconnected.map_err(|error| failed(format!("disconnect {container} from the network {network}"), error))
    }

    /// Our networks with their claims.
    ///
    /// # Errors
    /// See [`DockerError`].
    pub async fn claimed_networks(&self) -> Result<Vec<(String, Claim)>, DockerError> {
        let filters = HashMap::from([("label", vec![OWNER_LABEL])]);
        let options = ListNetworksOptionsBuilder::new().filters(&filters).build();
        let networks = self.docker.list_networks(Some(options)).await.map_err(|error| failed("list the networks", error))?;
        Ok(networks.into_iter().filter_map(|network| Some((network.name?, Claim::read(&network.labels?)?))).collect())
    }

    /// What a new network must not overlap: Docker's networks, this machine's routes and addresses.
    pub(super) async fn taken(&self) -> Result<Vec<Block>, DockerError> {
        let none = None::<bollard::query_parameters::ListNetworksOptions>;
        let networks = self.docker.list_networks(none).await.map_err(|error| failed("list the networks", error))?;
        let configs = networks.into_iter().filter_map(|network| network.ipam?.config).flatten();
        let mut taken: Vec<Block> = configs.filter_map(|config| Block::parse(&config.subnet?)).collect();
        taken.extend(routes(&std::fs::read_to_string("/proc/thread-self/net/route").unwrap_or_default()));
        for one in getifaddrs().into_iter().flatten() {
            let ip = |address: Option<nix::sys::socket::SockaddrStorage>| address.and_then(|found| Some(found.as_sockaddr_in()?.ip()));
            if let (Some(address), Some(mask)) = (ip(one.address), ip(one.netmask)) {
                taken.push(Block::new(address, u32::from(mask).count_ones() as u8));
            }
        }
        Ok(taken)
    }
}

/// Docker's words for a subnet somebody else has (moby libnetwork ipam: "Pool overlaps with other one on this address space").
fn overlaps(error: &DockerError) -> bool {
    matches!(error, DockerError::Refused { status: 400 | 403 | 409 | 500, message, .. } if message.to_ascii_lowercase().contains("overlap"))
}
