//! Whether clusters can be made here. Every part is really looked for; what takes minutes (pulling images, building the agent) is not
//! done, only whether there is a way to it.

use std::time::Duration;

use crate::agent_program;
use crate::docker::{self, Engine};
use crate::parts::fetch::{self, FetchError};
use crate::parts::{Given, Reach, tools};

/// Where images come from that nobody gave (Docker Hub, which has `kindest/node`).
const REGISTRY: &str = "https://registry-1.docker.io/v2/";
/// Limit for it to answer.
const ANSWER: Duration = Duration::from_secs(5);

/// Every reason why not; an empty answer means that clusters can be made.
pub fn unavailable(given: &Given) -> Vec<String> {
    let given = given.clone();
    let asked = docker::blocking(async |engine| Ok(ask(&engine, &given).await));
    let reasons = match asked {
        Ok(reasons) => reasons,
        Err(error) => vec![error.to_string()],
    };
    reasons.into_iter().map(|reason| format!("kind is not there: {}", one_line(&reason))).collect()
}

async fn ask(engine: &Engine, given: &Given) -> Vec<String> {
    let mut reasons = Vec::new();
    reasons.extend(tools::kind_is_findable(given).await.err().map(|error| error.to_string()));
    let cli = tools::cilium_cli_is_findable(given, given.cilium_version.as_deref()).await;
    reasons.extend(cli.err().map(|error| error.to_string()));
    reasons.extend(agent_program::findable(given).err().map(|error| error.to_string()));
    reasons.extend(node_image(engine, given).await);
    reasons
}

/// Why there is no node image.
async fn node_image(engine: &Engine, given: &Given) -> Option<String> {
    let missing = match &given.node_image {
        Some(image) => match engine.image(image).await {
            Ok(Some(_)) => return None,
            Ok(None) => format!("the node image {image} is not in Docker"),
            Err(error) => return Some(error.to_string()),
        },
        None => "no node image was given (--node-image, PLUMB_NODE_IMAGE)".to_owned(),
    };
    if given.reach == Reach::Offline {
        return Some(format!("{missing}, and --offline forbids to fetch one"));
    }
    registry().await.err().map(|why| format!("{missing}, and none can be fetched: {why}"))
}

/// Whether the registry answers at all; that it wants a token first is an answer.
pub(crate) async fn registry() -> Result<(), String> {
    match fetch::bytes(REGISTRY, 64 * 1024, ANSWER).await {
        Ok(_) | Err(FetchError::Status { .. }) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

fn one_line(reason: &str) -> String {
    reason.replace("\nhint: ", "; ").replace('\n', " ")
}
