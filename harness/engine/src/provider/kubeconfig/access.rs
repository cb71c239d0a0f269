//! Which cluster, and how it is reached: files and a context by name, never a credential, so that it may stand in a ledger. The rules
//! are kubectl's: what is given, `KUBECONFIG` with one or more files, `~/.kube/config`, and within a Pod its own account.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use plumb_core::mistakes::nearest;
use serde::{Deserialize, Serialize};

use crate::cluster::chain;
use crate::parts::Given;

/// Limit for the API to say that it is there.
const ANSWER: Duration = Duration::from_secs(15);
/// Where a Pod's own account is.
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// Which cluster.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Access {
    /// Kubeconfigs, the earlier before the later; none = the Pod's own account.
    pub files: Vec<PathBuf>,
    /// The context in them.
    pub context: Option<String>,
}

/// A cluster cannot be reached.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccessError {
    /// Nothing says which cluster.
    #[error("{looked}\nhint: name a kubeconfig with --kubeconfig or KUBECONFIG")]
    None {
        /// Where was looked.
        looked: String,
    },
    /// What was given cannot be used.
    #[error("{0}")]
    Mistake(String),
    /// The cluster does not answer, or not to us.
    #[error("{0}")]
    Trouble(String),
}

/// What surrounds the program.
#[derive(Debug, Clone, Default)]
struct Surroundings {
    kubeconfig: Option<OsString>,
    home: Option<PathBuf>,
    in_cluster: bool,
}

impl Surroundings {
    fn read() -> Surroundings {
        Surroundings {
            kubeconfig: std::env::var_os("KUBECONFIG").filter(|value| !value.is_empty()),
            home: std::env::var_os("HOME").map(PathBuf::from),
            in_cluster: std::env::var_os("KUBERNETES_SERVICE_HOST").is_some() && Path::new(ACCOUNT).exists(),
        }
    }
}

impl Access {
    /// The cluster that is meant. Nothing is asked of it.
    ///
    /// # Errors
    /// See [`AccessError`].
    pub fn of(given: &Given) -> Result<Access, AccessError> {
        Access::within(given, &Surroundings::read())
    }

    fn within(given: &Given, around: &Surroundings) -> Result<Access, AccessError> {
        let files = match &given.kubeconfig {
            Some(file) => vec![absolute(file)],
            None => files(around)?,
        };
        if files.is_empty() {
            return match &given.context {
                Some(context) => Err(AccessError::Mistake(format!(
                    "find the context `{context}`: a Pod's own account has none\nhint: name a kubeconfig with --kubeconfig"
                ))),
                None => Ok(Access { files, context: None }),
            };
        }
        let access = Access { files, context: None };
        let read = access.read()?;
        let context = given.context.clone().or(read.current_context.filter(|name| !name.is_empty()));
        let names: Vec<&str> = read.contexts.iter().map(|context| context.name.as_str()).collect();
        let known = || if names.is_empty() { "it has none".to_owned() } else { format!("it has {}", names.join(", ")) };
        match context {
            Some(context) if names.contains(&context.as_str()) => Ok(Access { context: Some(context), ..access }),
            Some(context) => {
                let hint = nearest(&context, names.iter().copied()).map_or_else(known, |near| format!("did you mean `{near}`?"));
                Err(AccessError::Mistake(format!("find the context `{context}` in {}\nhint: {hint}", access.shown())))
            }
            None => Err(AccessError::Mistake(format!(
                "choose a context of {}: it has no current one\nhint: name one with --context; {}",
                access.shown(),
                known()
            ))),
        }
    }

    /// A client for its API.
    ///
    /// # Errors
    /// See [`AccessError`].
    pub async fn client(&self) -> Result<Client, AccessError> {
        let trouble = |error: &dyn std::error::Error| {
            AccessError::Trouble(format!(
                "log in to {}: {}\nhint: `kubectl{} get nodes` must answer",
                self.shown(),
                chain(error),
                self.option()
            ))
        };
        let config = self.config().await?;
        Client::try_from(config).map_err(|error| trouble(&error))
    }

    /// A client for its API, which has answered.
    ///
    /// # Errors
    /// See [`AccessError`].
    pub async fn reach(&self) -> Result<Client, AccessError> {
        let server = self.config().await?.cluster_url;
        let client = self.client().await?;
        let failed =
            |why: String| AccessError::Trouble(format!("reach the API at {server}, {}: {why}\nhint: {}", self.shown(), self.cure(&why)));
        match tokio::time::timeout(ANSWER, client.apiserver_version()).await {
            Ok(Ok(_)) => Ok(client),
            Ok(Err(error)) => Err(failed(chain(&error))),
            Err(_) => Err(failed(format!("no answer within {} s", ANSWER.as_secs()))),
        }
    }

    /// Where its API is; the same for everybody who means the same cluster by the same name.
    ///
    /// # Errors
    /// See [`AccessError`].
    pub async fn server(&self) -> Result<String, AccessError> {
        Ok(self.config().await?.cluster_url.to_string())
    }

    /// In words.
    pub fn shown(&self) -> String {
        let files: Vec<String> = self.files.iter().map(|file| file.display().to_string()).collect();
        match &self.context {
            Some(context) => format!("context {context} of {}", files.join(", ")),
            None if files.is_empty() => "the cluster this Pod runs in".to_owned(),
            None => files.join(", "),
        }
    }

    fn option(&self) -> String {
        self.context.as_ref().map(|context| format!(" --context {context}")).unwrap_or_default()
    }

    fn cure(&self, why: &str) -> String {
        let has = |words: &[&str]| words.iter().any(|word| why.contains(word));
        let kubectl = format!("`kubectl{} get nodes` must answer", self.option());
        if has(&["401", "Unauthorized", "provide credentials"]) {
            return format!("its credentials are not taken any longer; log in again, then {kubectl}");
        }
        if has(&["CertificateRequired", "UnknownCA", "BadCertificate", "CertificateExpired", "AccessDenied", "DecryptError"]) {
            return format!("the API refuses the client certificate of this context; {kubectl}");
        }
        if has(&["UnknownIssuer", "BadSignature", "invalid peer certificate", "NotValidForName"]) {
            return "the API's certificate is not by the authority of this kubeconfig, or for another name: the cluster may have been made anew; fetch its kubeconfig again".to_owned();
        }
        format!("is the cluster up, and is this the one that is meant? {kubectl}; another is named with --context")
    }

    fn read(&self) -> Result<Kubeconfig, AccessError> {
        let mistake = |file: &Path, why: String| {
            AccessError::Mistake(format!("read the kubeconfig {}: {why}\nhint: name another with --kubeconfig", file.display()))
        };
        let mut merged = Kubeconfig::default();
        for file in &self.files {
            let read = Kubeconfig::read_from(file).map_err(|error| mistake(file, cause(&error)))?;
            merged = merged.merge(read).map_err(|error| mistake(file, cause(&error)))?;
        }
        Ok(merged)
    }

    async fn config(&self) -> Result<Config, AccessError> {
        let mistake = |error: &dyn std::error::Error| {
            AccessError::Mistake(format!("use {}: {}\nhint: `kubectl{} get nodes` must answer", self.shown(), chain(error), self.option()))
        };
        if self.files.is_empty() {
            return Config::incluster().map_err(|error| mistake(&error));
        }
        let read = self.read()?;
        let own_proxy = proxy_of(&read, self.context.as_deref());
        let options = KubeConfigOptions { context: self.context.clone(), ..KubeConfigOptions::default() };
        let mut config = Config::from_custom_kubeconfig(read, &options).await.map_err(|error| mistake(&error))?;
        if own_proxy.is_none() && goes_direct(config.cluster_url.host().unwrap_or_default(), &no_proxy()) {
            config.proxy_url = None;
        }
        Ok(config)
    }
}

/// An error's cause alone: the path is in our own words already.
fn cause(error: &kube::config::KubeconfigError) -> String {
    match error {
        kube::config::KubeconfigError::ReadConfig(source, _) => source.to_string(),
        other => chain(other),
    }
}

fn files(around: &Surroundings) -> Result<Vec<PathBuf>, AccessError> {
    if let Some(list) = &around.kubeconfig {
        let named: Vec<PathBuf> =
            std::env::split_paths(list).filter(|path| !path.as_os_str().is_empty()).map(|path| absolute(&path)).collect();
        let there: Vec<PathBuf> = named.iter().filter(|path| path.exists()).cloned().collect();
        if there.is_empty() {
            return Err(AccessError::None { looked: format!("KUBECONFIG names {}, and no such file is there", list.to_string_lossy()) });
        }
        return Ok(there);
    }
    let home = around.home.as_ref().map(|home| home.join(".kube/config"));
    match home {
        Some(file) if file.exists() => Ok(vec![file]),
        _ if around.in_cluster => Ok(Vec::new()),
        Some(file) => {
            Err(AccessError::None { looked: format!("there is no kubeconfig: KUBECONFIG is not set and {} is not there", file.display()) })
        }
        None => Err(AccessError::None { looked: "there is no kubeconfig: neither KUBECONFIG nor HOME is set".to_owned() }),
    }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// The proxy a context's cluster names itself.
fn proxy_of(read: &Kubeconfig, context: Option<&str>) -> Option<String> {
    let named = read.contexts.iter().find(|one| Some(one.name.as_str()) == context)?.context.as_ref()?.cluster.clone();
    let cluster = read.clusters.iter().find(|one| one.name == named)?.cluster.as_ref()?;
    cluster.proxy_url.clone().filter(|proxy| !proxy.is_empty())
}

fn no_proxy() -> String {
    std::env::var("NO_PROXY").or_else(|_| std::env::var("no_proxy")).unwrap_or_default()
}

/// Whether a host is reached past the proxy of the environment: this machine, and what `NO_PROXY` names.
fn goes_direct(host: &str, no_proxy: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let loopback = bare == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    loopback
        || no_proxy.split(',').map(str::trim).filter(|entry| !entry.is_empty()).any(|entry| {
            let suffix = entry.trim_start_matches("*.").trim_start_matches('.');
            entry == "*" || bare == suffix || bare.ends_with(&format!(".{suffix}"))
        })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::fs;

    use super::*;

    fn kubeconfig(names: &[&str], current: Option<&str>) -> String {
        let list = |kind: &str, body: &dyn Fn(&str) -> String| {
            let entries: String = names.iter().map(|name| format!("- {{name: {name}, {kind}: {}}}\n", body(name))).collect();
            format!("{kind}s:\n{entries}")
        };
        let current = current.map(|name| format!("current-context: {name}\n")).unwrap_or_default();
        format!(
            "apiVersion: v1\nkind: Config\n{current}{}{}{}",
            list("cluster", &|name| format!("{{server: 'https://{name}.example:6443'}}")),
            list("context", &|name| format!("{{cluster: {name}, user: {name}}}")),
            list("user", &|name| format!("{{token: secret-of-{name}}}")),
        )
    }

    struct World(tempfile::TempDir);

    impl World {
        fn new() -> World {
            World(tempfile::tempdir().unwrap())
        }

        fn file(&self, name: &str, text: &str) -> PathBuf {
            let path = self.0.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            path
        }

        fn check(&self, given: Given, kubeconfig: Option<&str>, in_cluster: bool) -> Result<Access, AccessError> {
            let kubeconfig = kubeconfig.map(OsString::from);
            Access::within(&given, &Surroundings { kubeconfig, home: Some(self.0.path().to_owned()), in_cluster })
        }
    }

    #[test]
    fn what_is_given_goes_before_kubeconfig_before_home_before_the_pods_account() {
        let world = World::new();
        assert_eq!(world.check(Given::default(), None, true).unwrap(), Access { files: vec![], context: None });
        let home = world.file(".kube/config", &kubeconfig(&["home"], Some("home")));
        assert_eq!(world.check(Given::default(), None, true).unwrap().files, [home]);
        let (one, two) = (world.file("one", &kubeconfig(&["one"], Some("one"))), world.file("two", &kubeconfig(&["two"], Some("two"))));
        let list = format!("{}:{}:{}", one.display(), world.0.path().join("none").display(), two.display());
        let both = world.check(Given::default(), Some(&list), true).unwrap();
        assert_eq!((both.files, both.context.as_deref()), (vec![one.clone(), two], Some("one")));
        let given = Given { kubeconfig: Some(one.clone()), ..Given::default() };
        assert_eq!(world.check(given, Some(&list), true).unwrap().files, [one]);
    }

    #[test]
    fn a_context_of_a_later_file_can_be_chosen_and_the_wrong_one_is_named_with_the_nearest() {
        let world = World::new();
        let list = format!(
            "{}:{}",
            world.file("one", &kubeconfig(&["staging"], Some("staging"))).display(),
            world.file("two", &kubeconfig(&["production"], None)).display()
        );
        let chosen = |name: &str| world.check(Given { context: Some(name.into()), ..Given::default() }, Some(&list), false);
        assert_eq!(chosen("production").unwrap().context.as_deref(), Some("production"));
        let error = chosen("prodution").unwrap_err();
        assert!(matches!(&error, AccessError::Mistake(text) if text.contains("did you mean `production`?")), "{error}");
    }

    #[test]
    fn nothing_at_all_is_no_mistake_and_a_file_that_is_not_there_is_one() {
        let world = World::new();
        assert!(matches!(world.check(Given::default(), None, false), Err(AccessError::None { .. })));
        assert!(matches!(world.check(Given::default(), Some("/nowhere"), false), Err(AccessError::None { .. })));
        let given = |path: PathBuf| Given { kubeconfig: Some(path), ..Given::default() };
        let cases = [
            (given("/nowhere/at/all".into()), "/nowhere/at/all"),
            (given(world.file("bad", "a: [")), "read the kubeconfig"),
            (given(world.file("headless", &kubeconfig(&["a", "b"], None))), "it has a, b"),
        ];
        for (given, expected) in cases {
            let error = world.check(given, None, false).unwrap_err();
            assert!(matches!(&error, AccessError::Mistake(text) if text.contains(expected)), "{error}");
        }
    }

    #[test]
    fn an_access_holds_no_credential() {
        let world = World::new();
        let file = world.file("one", &kubeconfig(&["one"], Some("one")));
        let access = world.check(Given { kubeconfig: Some(file), ..Given::default() }, None, false).unwrap();
        assert!(!serde_json::to_string(&access).unwrap().contains("secret-of"));
    }

    #[tokio::test]
    async fn a_dead_cluster_is_named_with_its_context_and_a_cure() {
        let world = World::new();
        // A port nobody has: it was ours and is given back.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let text = kubeconfig(&["gone"], Some("gone")).replace("gone.example:6443", &format!("127.0.0.1:{port}"));
        let access = world.check(Given { kubeconfig: Some(world.file("gone", &text)), ..Given::default() }, None, false).unwrap();
        let error = access.reach().await.err().unwrap();
        let AccessError::Trouble(text) = error else { panic!("{error}") };
        assert!(text.contains(&format!("127.0.0.1:{port}")) && text.contains("context gone") && text.contains("--context"), "{text}");
    }

    #[test]
    fn this_machine_and_what_no_proxy_names_are_reached_directly() {
        let list = "10.0.0.1, .corp.example,internal";
        for host in ["127.0.0.1", "localhost", "[::1]", "10.0.0.1", "api.corp.example", "internal"] {
            assert!(goes_direct(host, list), "{host}");
        }
        for host in ["10.0.0.2", "corp.example.org", "notinternal"] {
            assert!(!goes_direct(host, list), "{host}");
        }
    }
}
