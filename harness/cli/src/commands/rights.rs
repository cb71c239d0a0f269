//! `plumb rights`: the ClusterRole a run in a cluster that already runs needs, for `kubectl apply`.

use plumb_engine::provider::kubeconfig::rights;

use crate::exit::Exit;
use crate::output;

pub(crate) fn rights() -> anyhow::Result<Exit> {
    output::say(&rights::role_yaml());
    Ok(Exit::Pass)
}
