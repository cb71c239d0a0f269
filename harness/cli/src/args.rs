//! Arguments. The text here is what `--help` says.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use plumb_engine::parts::{Given, Reach};
use plumb_refnet::fault::Fault;

/// Find out whether what a platform promises about Cilium is true.
#[derive(Debug, Parser)]
#[command(
    name = "plumb",
    version,
    after_help = "Exit status: 0 all passed, 1 something failed, 2 unknown (the lab, not the product), 3 bad input, 4 nothing ran."
)]
pub(crate) struct Arguments {
    /// Folder with scenarios and profiles [default: `scenarios` here or above, else the one plumb was built from]
    #[arg(long, global = true, value_name = "DIR", env = "PLUMB_SCENARIOS", hide_env = true)]
    pub(crate) scenarios: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Run scenarios and say what the wire showed
    Run(Run),
    /// Name the scenarios, or the trials of a CI matrix
    List(List),
    /// Check scenario files, or what is known of a flag set
    Lint(Lint),
    /// Say what a shell would really run of a Markdown file, and compare its installations with the profiles
    Docs(Docs),
    /// Print the JSON Schema of scenario files or profiles
    Schema(Schema),
    /// Judge a run again from its folder: the same evidence gives the same bytes
    Judge(Judge),
    /// Show runs as text, JSON, JUnit, HTML or a GitHub summary
    Report(Report),
    /// Name the faults of the reference network, or prove that each turns its checks red
    Faults(Faults),
    /// Run a scenario many times and give its failure rate with an interval
    Soak(Soak),
    /// Name, save or load the images that labs with real Cilium run with
    Images(Images),
    /// Say what this machine lacks, what that stops, and the cure
    Doctor(Doctor),
    /// Print the ClusterRole that a run in a cluster that already runs needs
    Rights,
    /// Make the lab a scenario would run in, and leave it up
    Up(Up),
    /// Open a shell, or run a command, at a vantage point of a lab that is up
    Shell(Shell),
    /// Collect from labs that are up, and take them away
    Down(Down),
    /// Say which labs are up
    Labs(Labs),
    /// Take away what dead runs have left
    Sweep(Sweep),
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Choice {
    /// Who makes the network: refnet, kind or kubeconfig
    #[arg(long, default_value = "refnet", value_name = "NAME")]
    pub(crate) provider: String,
    /// Flag set to install [default: the scenario's own]
    #[arg(long, value_name = "NAME")]
    pub(crate) profile: Option<String>,
    /// Decides every choice that is free; the same seed makes the same choices
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) seed: u64,
    /// Helm value on top of all others; may be given several times
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Folder the run folders go to
    #[arg(long, default_value = "runs", value_name = "DIR", env = "PLUMB_OUT", hide_env = true)]
    pub(crate) out: PathBuf,
    /// How many labs side by side [default: what cores and memory allow]
    #[arg(long, value_name = "N")]
    pub(crate) jobs: Option<usize>,
    /// Use a kind cluster that an earlier run left and leave it to later ones, until nobody has used it for this time
    #[arg(long, value_name = "SECONDS", env = "PLUMB_SHARE", hide_env = true)]
    pub(crate) share: Option<u64>,
    #[command(flatten)]
    pub(crate) parts: Parts,
}

/// Parts of a lab with real Cilium; each is also read from the environment, as `PLUMB_` and its name.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Parts of a lab with real Cilium")]
pub(crate) struct Parts {
    /// kind [default: from PATH, else fetched]
    #[arg(long, value_name = "PROGRAM")]
    kind: Option<PathBuf>,
    /// Cilium's CLI [default: from PATH, else fetched]
    #[arg(long, value_name = "PROGRAM")]
    cilium_cli: Option<PathBuf>,
    /// Node image, as Docker names it [default: the one of the kind release]
    #[arg(long, value_name = "IMAGE")]
    node_image: Option<String>,
    /// Unpacked chart of Cilium [default: the CLI's own, else fetched]
    #[arg(long, value_name = "DIR")]
    chart: Option<PathBuf>,
    /// Image archives to load into the nodes (*.tar)
    #[arg(long, value_name = "DIR")]
    images: Option<PathBuf>,
    /// Gateway API definitions, one file each [default: fetched]
    #[arg(long, value_name = "DIR")]
    crds: Option<PathBuf>,
    /// Static plumb-agent [default: beside plumb, else built with cargo]
    #[arg(long, value_name = "PROGRAM")]
    agent: Option<PathBuf>,
    /// Helm values file, under --set; may be given several times
    #[arg(long, value_name = "FILE")]
    values: Vec<PathBuf>,
    /// Cilium version in place of the profile's
    #[arg(long, value_name = "VERSION")]
    cilium_version: Option<String>,
    /// Kubeconfig of a cluster that already runs (provider kubeconfig) [default: KUBECONFIG, else ~/.kube/config]
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Context in it [default: its current one]
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// Reference under which that cluster can pull the agent's image
    #[arg(long, value_name = "IMAGE")]
    agent_image: Option<String>,
    /// A network of that cluster, the nodes' interface on it, and addresses there that Services may have, for example
    /// net0=ens19,192.168.7.240-192.168.7.250; may be given several times
    #[arg(long = "network", value_name = "NETWORK=INTERFACE[,FIRST-LAST]")]
    networks: Vec<String>,
    /// Use this machine as the outside client of that cluster: it reaches the nodes and is none of them
    #[arg(long)]
    client_here: bool,
    /// Open no connection that leaves the machine; name the part that is missing
    #[arg(long)]
    offline: bool,
}

impl Parts {
    /// With what the environment names for the rest.
    pub(crate) fn given(&self) -> Given {
        let Parts { kind, cilium_cli, node_image, chart, images, crds, agent, values, .. } = self.clone();
        let Parts { cilium_version, kubeconfig, context, agent_image, networks, client_here, offline, .. } = self.clone();
        let reach = if offline { Reach::Offline } else { Reach::Online };
        let parts = Given { kind, cilium_cli, node_image, chart, images, crds, agent, values, cilium_version, ..Given::default() };
        Given { kubeconfig, context, agent_image, networks, client_here, reach, ..parts }.or(Given::from_env())
    }
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    /// Scenarios by name [default: all]
    #[arg(value_name = "SCENARIO")]
    pub(crate) names: Vec<String>,
    #[command(flatten)]
    pub(crate) choice: Choice,
    /// Switch a fault of the reference network on (`plumb faults` lists them)
    #[arg(long, value_name = "NAME")]
    pub(crate) fault: Option<String>,
    /// Keep the lab after the last step, and say how to look into it; `plumb down` ends it (takes one scenario)
    #[arg(long)]
    pub(crate) keep: bool,
    /// How long --keep keeps the lab, for example 30m or 4h [default: 2h]
    #[arg(long, value_name = "TIME", requires = "keep", value_parser = span)]
    pub(crate) expire: Option<Duration>,
}

/// How long a lab is kept when nothing else is said.
pub(crate) const KEEP: Duration = Duration::from_secs(2 * 3600);

fn span(text: &str) -> Result<Duration, String> {
    match plumb_core::duration::parse(text) {
        Ok(span) if span >= Duration::from_secs(1) => Ok(span),
        Ok(_) => Err("a lab is kept for a second at least".to_owned()),
        Err(bad) => Err(format!("{bad}, at most 24h")),
    }
}

#[derive(Debug, Args)]
#[command(
    after_help = "The lab stays when this command is over, until `plumb down` or its expiry; its run folder gets what is collected then.

Exit status: 0 it is up, 2 it could not be made (the run folder says why), 3 bad input, 4 this machine lacks what it needs."
)]
pub(crate) struct Up {
    /// Scenario whose lab it is [default: a control plane, two workers and a client on two networks]
    #[arg(value_name = "SCENARIO")]
    pub(crate) scenario: Option<String>,
    /// Name of the lab
    #[arg(long, default_value = "lab", value_name = "NAME")]
    pub(crate) name: String,
    /// How long it is kept, for example 30m or 4h [default: 2h]
    #[arg(long, value_name = "TIME", value_parser = span)]
    pub(crate) expire: Option<Duration>,
    /// With the scenario's Secrets and backends, and what it applies before its first other step
    #[arg(long, requires = "scenario")]
    pub(crate) with_backends: bool,
    /// Switch a fault of the reference network on (`plumb faults` lists them)
    #[arg(long, value_name = "NAME")]
    pub(crate) fault: Option<String>,
    #[command(flatten)]
    pub(crate) network: Network,
}

/// Which network is made, and of what.
#[derive(Debug, Clone, Args)]
pub(crate) struct Network {
    /// Who makes the network: refnet or kind
    #[arg(long, default_value = "refnet", value_name = "NAME")]
    pub(crate) provider: String,
    /// Flag set to install [default: the scenario's own, else newest]
    #[arg(long, value_name = "NAME")]
    pub(crate) profile: Option<String>,
    /// Decides every choice that is free; the same seed makes the same choices
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) seed: u64,
    /// Helm value on top of all others; may be given several times
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Folder the run folder goes to
    #[arg(long, default_value = "runs", value_name = "DIR", env = "PLUMB_OUT", hide_env = true)]
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) parts: Parts,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Vantage points: client, node/NAME, pod/NAME, pod/NAMESPACE/NAME; without one it is this machine with KUBECONFIG set.

Exit status: that of the command; 3 when it could not be started."
)]
pub(crate) struct Shell {
    /// Name of the lab [default: the only one], then the vantage point [default: this machine]
    #[arg(value_name = "NAME|VANTAGE", num_args = 0..=2)]
    pub(crate) place: Vec<String>,
    /// Command to run in place of a shell
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "What is collected goes into kept/ of the lab's run folder. A lab a run is in is left alone.

Exit status: 0 gone, 1 something of it is left, 3 bad input or a run is in it, 4 --all and no lab is up.")]
pub(crate) struct Down {
    /// Name of the lab [default: the only one]
    #[arg(value_name = "NAME", conflicts_with = "all")]
    pub(crate) name: Option<String>,
    /// Every lab no run is in
    #[arg(long)]
    pub(crate) all: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Labs {
    /// Print them as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    /// Form of the list
    #[arg(long, value_enum, default_value_t = ListFormat::Text)]
    pub(crate) format: ListFormat,
    /// Whose trials the matrix has: what this provider can never run is left out
    #[arg(long, default_value = "refnet", value_name = "NAME")]
    pub(crate) provider: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ListFormat {
    /// For people
    Text,
    /// Everything the files say of themselves
    Json,
    /// `matrix=...` for a GitHub Actions job
    GithubMatrix,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Exit status: 0 nothing worse than a note, 1 an error or a warning, 3 bad input or a file with mistakes, 4 nothing to look at."
)]
pub(crate) struct Lint {
    /// Scenario names or files [default: all scenarios and profiles]; for a flag set: the scenarios or manifests it is to serve
    #[arg(value_name = "SCENARIO|FILE")]
    pub(crate) names: Vec<String>,
    #[command(flatten)]
    pub(crate) flags: Flags,
}

/// A flag set in place of scenario files.
#[derive(Debug, Args)]
#[command(next_help_heading = "Flag set")]
pub(crate) struct Flags {
    /// Check the flags of a profile, as written and as meant, for every scenario that installs it
    #[arg(long, value_name = "NAME")]
    pub(crate) profile: Option<String>,
    /// Helm value on top of all others; may be given several times
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Helm values file, under --set; may be given several times
    #[arg(long, value_name = "FILE")]
    pub(crate) values: Vec<PathBuf>,
    /// Cilium version in place of the profile's
    #[arg(long, value_name = "VERSION")]
    pub(crate) cilium_version: Option<String>,
    /// Version of the cilium CLI it is given to
    #[arg(long, value_name = "VERSION")]
    pub(crate) cli_version: Option<String>,
    /// Print the findings as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

impl Flags {
    /// Whether a flag set is to be looked at.
    pub(crate) fn are_asked_for(&self) -> bool {
        self.profile.is_some() || !self.set.is_empty() || !self.values.is_empty() || self.cilium_version.is_some()
    }
}

#[derive(Debug, Args)]
#[command(after_help = "Nothing of the file is run.

Exit status: 0 nothing worse than a note, 1 the document misleads (an error or a warning), 3 bad input, 4 no command was found.")]
pub(crate) struct Docs {
    /// Markdown file
    #[arg(value_name = "FILE.md")]
    pub(crate) file: PathBuf,
    /// Compare with this profile alone; may be given several times [default: all]
    #[arg(long = "profile", value_name = "NAME")]
    pub(crate) profiles: Vec<String>,
    /// Version of the cilium CLI it is read for
    #[arg(long, value_name = "VERSION")]
    pub(crate) cli_version: Option<String>,
    /// Print commands, installations and findings as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Images {
    #[command(subcommand)]
    pub(crate) action: ImagesAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ImagesAction {
    /// Name them, with their digests, one a line
    List(ImagesOf),
    /// Save them as archives: Cilium's in DIR, as --images takes them, and the node image in DIR/node
    Save {
        /// Folder of the archives
        #[arg(value_name = "DIR")]
        folder: PathBuf,
        #[command(flatten)]
        of: ImagesOf,
    },
    /// Take away the stores in which images lie unpacked for the nodes of later clusters; those of clusters that run stay
    Forget,
    /// Write the agent's image as an archive, for a registry the nodes of a cluster that runs can pull from (`docker load`, `skopeo copy`)
    Agent {
        /// File of the archive
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Reference it has there
        #[arg(long, value_name = "REFERENCE")]
        name: String,
        /// Static plumb-agent [default: beside plumb, else built with cargo]
        #[arg(long, value_name = "PROGRAM")]
        agent: Option<PathBuf>,
    },
    /// Load the node image of such a folder into Docker; Cilium's images go into the nodes by themselves, with --images DIR
    Load {
        /// Folder of the archives
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
}

/// Whose images.
#[derive(Debug, Args)]
pub(crate) struct ImagesOf {
    /// Flag set; may be given several times [default: all]
    #[arg(long = "profile", value_name = "NAME")]
    pub(crate) profiles: Vec<String>,
    /// Helm value on top of all others; may be given several times
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    #[command(flatten)]
    pub(crate) parts: Parts,
}

#[derive(Debug, Args)]
pub(crate) struct Schema {
    /// Which files
    #[arg(value_enum, default_value_t = SchemaOf::Scenario)]
    pub(crate) of: SchemaOf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SchemaOf {
    /// scenario.yaml
    Scenario,
    /// profiles/*.yaml
    Profile,
}

#[derive(Debug, Args)]
pub(crate) struct Judge {
    /// Run folder
    #[arg(value_name = "RUN")]
    pub(crate) run: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Report {
    /// Run folders
    #[arg(value_name = "RUN", required = true)]
    pub(crate) runs: Vec<PathBuf>,
    /// Form of the report
    #[arg(long, value_enum, default_value_t = ReportFormat::Terminal)]
    pub(crate) format: ReportFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportFormat {
    /// For people
    Terminal,
    /// The verdicts
    Json,
    /// JUnit XML
    Junit,
    /// One page; takes one run
    Html,
    /// GitHub step summary
    Github,
}

#[derive(Debug, Args)]
pub(crate) struct Faults {
    /// Run every scenario with every fault and compare with what the scenarios declare
    #[arg(long)]
    pub(crate) table: bool,
    /// Only these scenarios
    #[arg(value_name = "SCENARIO", requires = "table")]
    pub(crate) names: Vec<String>,
    /// Only these faults; may be given several times
    #[arg(long = "fault", value_name = "NAME", requires = "table")]
    pub(crate) faults: Vec<Fault>,
    #[command(flatten)]
    pub(crate) choice: Choice,
}

#[derive(Debug, Args)]
pub(crate) struct Soak {
    /// Scenario by name
    #[arg(value_name = "SCENARIO")]
    pub(crate) name: String,
    /// How many runs
    #[arg(short = 'n', long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) runs: u32,
    #[command(flatten)]
    pub(crate) choice: Choice,
    /// Switch a fault of the reference network on
    #[arg(long, value_name = "NAME")]
    pub(crate) fault: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Changes nothing. Exit status: 0 scenarios run here, 4 not even the reference network does.")]
pub(crate) struct Doctor {
    /// Print the findings as JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) parts: Parts,
}

#[derive(Debug, Args)]
pub(crate) struct Sweep {
    /// Look into the cluster of the kubeconfig's context too, by label; without this no cluster that runs is looked into
    #[arg(long)]
    pub(crate) cluster: bool,
    /// Kubeconfig [default: KUBECONFIG, else ~/.kube/config]
    #[arg(long, value_name = "FILE", requires = "cluster")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Context in it [default: its current one]
    #[arg(long, value_name = "NAME", requires = "cluster")]
    pub(crate) context: Option<String>,
}

impl Sweep {
    /// Which cluster is meant.
    pub(crate) fn given(&self) -> Given {
        Given { kubeconfig: self.kubeconfig.clone(), context: self.context.clone(), ..Given::default() }.or(Given::from_env())
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Arguments;

    #[test]
    fn no_two_arguments_of_a_command_have_one_name() {
        Arguments::command().debug_assert();
    }
}
