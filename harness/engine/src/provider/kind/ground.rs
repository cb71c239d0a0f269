//! The ground a cluster stands on: its networks in Docker, the agent's image there, and the outside client. Each is in the ledger before
//! it is made. It must not know of Kubernetes.

use std::time::Duration;

use crate::agent_program::AgentProgram;
use crate::docker::{self, Claim, Client, DockerError, Egress, Engine, Network};
use crate::ledger::{Ledger, LedgerError, Line, Resource};

/// Name of the agent's image in Docker; the tag is the lab's.
const IMAGE: &str = "plumb-agent";
/// Host number of the client on networks beyond its first, and of the first node on networks beyond the node network. Docker keeps an
/// address that was asked for through a restart; one it chose itself may be another afterwards.
const CLIENT_HOST: u8 = 100;
const FIRST_NODE_HOST: u8 = 10;
/// Limit for a small command in a container.
const COMMAND: Duration = Duration::from_secs(20);

/// The ground was not made.
#[derive(Debug, thiserror::Error)]
pub enum GroundError {
    /// Docker said no.
    #[error(transparent)]
    Docker(#[from] DockerError),
    /// The ledger could not be written, so nothing was made.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// Networks of a lab, by the interface they give.
#[derive(Debug, Clone)]
pub struct Ground {
    engine: Engine,
    name: String,
    claim: Claim,
    networks: Vec<(String, Network)>,
}

impl Ground {
    /// Makes the networks: the first, which nodes are made on, has the lab's own name; the others lead nowhere.
    ///
    /// # Errors
    /// See [`GroundError`]; what was made until then is in the ledger.
    pub async fn make(engine: Engine, name: &str, interfaces: &[String], claim: Claim, ledger: &Ledger) -> Result<Ground, GroundError> {
        let mut ground = Ground { engine, name: name.to_owned(), claim, networks: Vec::new() };
        for (n, interface) in interfaces.iter().enumerate() {
            let network = if n == 0 { name.to_owned() } else { format!("{name}-{interface}") };
            ledger.write(&Line::Making(Resource::DockerNetwork { name: network.clone() }))?;
            let egress = if n == 0 { Egress::Outside } else { Egress::None };
            let made = ground.engine.make_network(&network, egress, &ground.claim).await?;
            ground.networks.push((interface.clone(), made));
        }
        Ok(ground)
    }

    /// One that was made before; nothing can be made on it, only used. `None` when a subnet is none.
    pub fn adopt(engine: Engine, name: &str, networks: &[(String, String, String)]) -> Option<Ground> {
        let network = |(interface, name, cidr): &(String, String, String)| {
            Some((interface.clone(), Network { name: name.clone(), subnet: crate::docker::subnet::Subnet::parse(cidr)? }))
        };
        let networks = networks.iter().map(network).collect::<Option<Vec<_>>>()?;
        Some(Ground { engine, name: name.to_owned(), claim: Claim::own(name), networks })
    }

    /// Interface, name and subnet (CIDR) of each network.
    pub fn networks(&self) -> Vec<(String, String, String)> {
        self.networks.iter().map(|(interface, network)| (interface.clone(), network.name.clone(), network.subnet.cidr())).collect()
    }

    /// The lab's name in Docker.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Who may take it away.
    pub fn claim(&self) -> &Claim {
        &self.claim
    }

    /// The connection.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The network that gives an interface.
    pub fn network(&self, interface: &str) -> Option<&Network> {
        self.networks.iter().find(|(name, _)| name == interface).map(|(_, network)| network)
    }

    /// Name of the outside client's container.
    pub fn client(&self) -> String {
        format!("{}-client", self.name)
    }

    /// Makes the agent's image and the outside client on these networks, its interfaces named as they are.
    ///
    /// # Errors
    /// See [`GroundError`].
    pub async fn make_client(&self, agent: &AgentProgram, interfaces: &[String], ledger: &Ledger) -> Result<(), GroundError> {
        let Some(first) = interfaces.first().and_then(|interface| self.network(interface)) else { return Ok(()) };
        let image = format!("{IMAGE}:{}", self.name);
        ledger.write(&Line::Making(Resource::DockerImage { reference: image.clone() }))?;
        self.engine.make_image(IMAGE, &self.name, docker::agent_layer(&agent.bytes).into(), &self.claim).await?;
        let name = self.client();
        ledger.write(&Line::Making(Resource::DockerContainer { name: name.clone() }))?;
        let client = Client { name: &name, image: &image, network: &first.name, claim: &self.claim };
        self.engine.start_client(&client).await?;
        for interface in &interfaces[1..] {
            self.connect(&name, interface, CLIENT_HOST).await?;
        }
        self.name_interfaces(&name, interfaces).await
    }

    /// Connects the n-th node to the networks beyond the first and names its interfaces. The agent is there already.
    ///
    /// # Errors
    /// See [`GroundError`].
    pub async fn connect_node(&self, node: &str, n: u8) -> Result<(), GroundError> {
        for (interface, _) in self.networks.iter().skip(1) {
            self.connect(node, interface, FIRST_NODE_HOST + n).await?;
        }
        self.name_node_interfaces(node).await
    }

    /// Names a node's interfaces, as is needed again each time it was started.
    ///
    /// # Errors
    /// See [`GroundError`].
    pub async fn name_node_interfaces(&self, node: &str) -> Result<(), GroundError> {
        let interfaces: Vec<String> = self.networks.iter().skip(1).map(|(interface, _)| interface.clone()).collect();
        self.name_interfaces(node, &interfaces).await
    }

    /// Puts the agent into a container that runs.
    ///
    /// # Errors
    /// See [`GroundError`].
    pub async fn upload_agent(&self, container: &str, agent: &AgentProgram) -> Result<(), GroundError> {
        Ok(self.engine.upload(container, docker::agent_layer(&agent.bytes).into()).await?)
    }

    async fn connect(&self, container: &str, interface: &str, host: u8) -> Result<(), GroundError> {
        let Some(network) = self.network(interface) else { return Ok(()) };
        Ok(self.engine.connect_to(&network.name, container, Some(network.subnet.host(host))).await?)
    }

    /// Docker names interfaces in the order they come; scenarios name them by their network.
    async fn name_interfaces(&self, container: &str, interfaces: &[String]) -> Result<(), GroundError> {
        let found = self.engine.container(container).await?;
        for interface in interfaces {
            let attachment = self.network(interface).and_then(|network| found.networks.get(&network.name));
            let Some(attachment) = attachment else {
                let operation = format!("name the interface {interface} of {container}");
                return Err(DockerError::Call { operation, message: "it has no address on that network".into() }.into());
            };
            let address = attachment.address.to_string();
            self.engine.succeed(container, &["/plumb/agent", "interface", "name", &address, interface], COMMAND).await?;
        }
        Ok(())
    }
}
