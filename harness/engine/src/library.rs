//! The scenario library: the folder with scenarios, their manifests and the profiles, read into values and planned.
//!
//! A scenario's name is its folder, `tls-terminate` or `bugs/38420-standard-crds`. Reads files and nothing else.

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use plumb_core::capability::Capability;
use plumb_core::mistakes::{Mistakes, nearest};
use plumb_core::plan::{Plan, PlanErrors, PlanInput};
use plumb_core::profile::{self, Profile};
use plumb_core::scenario::{self, model::Scenario};
use plumb_core::values::Values;
use plumb_core::version::{BadVersion, Version};

/// Environment variable that names the folder.
pub const FOLDER_VARIABLE: &str = "PLUMB_SCENARIOS";

/// Largest file beside a scenario that is read, in bytes.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// Stack of a thread that reads scenarios: as deep as a file may be nested, in a build that is not optimised, it is as the main thread's.
const READER_STACK: usize = 8 << 20;

/// Why something of the library cannot be had: always the author's or the user's to mend.
#[derive(Debug, thiserror::Error)]
pub enum LibraryError {
    /// No folder with scenarios.
    #[error("find the scenarios: looked in {looked}\nhint: name their folder with --scenarios or {FOLDER_VARIABLE}")]
    NoFolder {
        /// Folders that were looked in.
        looked: String,
    },
    /// There is no such scenario.
    #[error("find a scenario named `{name}`{hint}")]
    NoScenario {
        /// The name that was given.
        name: String,
        /// Second line.
        hint: String,
    },
    /// There is no such profile.
    #[error("find a profile named `{name}`{hint}")]
    NoProfile {
        /// The name that was given.
        name: String,
        /// Second line.
        hint: String,
    },
    /// A text is no Cilium version.
    #[error("read a Cilium version: {0}")]
    Version(#[from] BadVersion),
    /// There is no such provider.
    #[error("find a provider named `{name}`{hint}")]
    NoProvider {
        /// The name that was given.
        name: String,
        /// Second line.
        hint: String,
    },
    /// A file could not be read.
    #[error("read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is not what it should be: every mistake in it.
    #[error("understand a file:\n{0}")]
    Mistakes(Box<Mistakes>),
    /// The trial cannot be planned.
    #[error(transparent)]
    Plan(#[from] PlanErrors),
}

/// A folder with scenarios and profiles.
#[derive(Debug, Clone)]
pub struct Library {
    root: PathBuf,
}

/// A scenario with the files beside it.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Its file.
    pub path: PathBuf,
    /// What it says.
    pub scenario: Scenario,
    /// Texts of the YAML files beside it, by their path from the scenario's folder.
    pub manifests: BTreeMap<String, String>,
}

/// What is asked of the planner, by name.
#[derive(Debug, Clone, Default)]
pub struct Ask<'a> {
    /// Provider.
    pub provider: &'a str,
    /// Profile; absent = the scenario's own.
    pub profile: Option<&'a str>,
    /// Fault to switch on.
    pub fault: Option<&'a str>,
    /// Decides every choice that is free.
    pub seed: u64,
    /// Values of the user.
    pub values: Values,
    /// Cilium version in place of the profile's.
    pub cilium: Option<&'a str>,
    /// Why the provider is not there; empty = it is.
    pub unavailable: &'a [String],
    /// What the provider was found to be able to do; absent = what every one of its name can.
    pub found: Option<&'a Capability>,
}

impl Library {
    /// The folder that was given, or `PLUMB_SCENARIOS`, or `scenarios` here or in a folder above, or the one this program was built from.
    ///
    /// # Errors
    /// [`LibraryError::NoFolder`].
    pub fn find(given: Option<&Path>) -> Result<Library, LibraryError> {
        let candidates: Vec<PathBuf> = match given.map(Path::to_owned).or_else(|| std::env::var_os(FOLDER_VARIABLE).map(PathBuf::from)) {
            Some(one) => vec![one],
            None => {
                let here = std::env::current_dir().unwrap_or_default();
                let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios");
                here.ancestors().map(|folder| folder.join("scenarios")).chain([built]).collect()
            }
        };
        let found = candidates.iter().find(|folder| folder.join("profiles").is_dir());
        match found {
            Some(folder) => Ok(Library { root: fs::canonicalize(folder).unwrap_or_else(|_| folder.clone()) }),
            None => {
                let looked = candidates.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(", ");
                Err(LibraryError::NoFolder { looked })
            }
        }
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Names of all scenarios, sorted.
    ///
    /// # Errors
    /// [`LibraryError::Read`].
    pub fn names(&self) -> Result<Vec<String>, LibraryError> {
        let mut names = scenario_folders(&self.root, "")?;
        names.extend(match self.root.join("bugs") {
            bugs if bugs.is_dir() => scenario_folders(&bugs, "bugs/")?,
            _ => Vec::new(),
        });
        names.sort();
        Ok(names)
    }

    /// Names of all profiles, sorted.
    ///
    /// # Errors
    /// [`LibraryError::Read`].
    pub fn profile_names(&self) -> Result<Vec<String>, LibraryError> {
        let mut names: Vec<String> = entries(&self.root.join("profiles"))?
            .into_iter()
            .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
            .filter_map(|path| Some(path.file_stem()?.to_string_lossy().into_owned()))
            .collect();
        names.sort();
        Ok(names)
    }

    /// Path of a scenario's file.
    pub fn scenario_path(&self, name: &str) -> PathBuf {
        self.root.join(name).join("scenario.yaml")
    }

    /// A scenario by name.
    ///
    /// # Errors
    /// It is not there, cannot be read, or has mistakes.
    pub fn scenario(&self, name: &str) -> Result<Entry, LibraryError> {
        self.scenario_of(&self.names()?, name)
    }

    /// Scenarios by name, in that order, read on all processors: every verb and every `--list` of a test runner begins with it.
    ///
    /// # Errors
    /// As [`Library::scenario`], of each that cannot be had.
    pub fn scenarios(&self, names: &[String]) -> Result<Vec<Entry>, Vec<LibraryError>> {
        let known = self.names().map_err(|error| vec![error])?;
        let next = AtomicUsize::new(0);
        let work = || {
            let mut read = Vec::new();
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some(name) = names.get(at) else { return read };
                read.push((at, self.scenario_of(&known, name)));
            }
        };
        let threads = std::thread::available_parallelism().map_or(1, NonZero::get).min(names.len());
        let mut read = std::thread::scope(|scope| {
            let spawn = || std::thread::Builder::new().stack_size(READER_STACK).spawn_scoped(scope, work).ok();
            let readers: Vec<_> = (1..threads).filter_map(|_| spawn()).collect();
            let mut read = work();
            for reader in readers {
                read.extend(reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            }
            read
        });
        read.sort_by_key(|(at, _)| *at);
        let (mut entries, mut errors) = (Vec::new(), Vec::new());
        for (_, one) in read {
            match one {
                Ok(entry) => entries.push(entry),
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() { Ok(entries) } else { Err(errors) }
    }

    fn scenario_of(&self, names: &[String], name: &str) -> Result<Entry, LibraryError> {
        if !names.iter().any(|known| known == name) {
            let hint = hint(name, names.iter().map(String::as_str), "plumb list names all scenarios");
            return Err(LibraryError::NoScenario { name: name.to_owned(), hint });
        }
        let path = self.scenario_path(name);
        let text = read(&path)?;
        let scenario = scenario::parse(&shown(&path), &text).map_err(|mistakes| LibraryError::Mistakes(Box::new(mistakes)))?;
        let folder = self.root.join(name);
        let mut manifests = BTreeMap::new();
        beside(&folder, &folder, &mut manifests)?;
        Ok(Entry { name: name.to_owned(), path, scenario, manifests })
    }

    /// A profile by name.
    ///
    /// # Errors
    /// It is not there, cannot be read, or has mistakes.
    pub fn profile(&self, name: &str) -> Result<Profile, LibraryError> {
        let names = self.profile_names()?;
        if !names.iter().any(|known| known == name) {
            let hint = hint(name, names.iter().map(String::as_str), "profiles are files in scenarios/profiles");
            return Err(LibraryError::NoProfile { name: name.to_owned(), hint });
        }
        let path = self.root.join("profiles").join(format!("{name}.yaml"));
        let text = read(&path)?;
        profile::parse(&shown(&path), &text).map_err(|mistakes| LibraryError::Mistakes(Box::new(mistakes)))
    }

    /// Plans a trial of a scenario.
    ///
    /// # Errors
    /// See [`LibraryError`].
    pub fn plan(&self, entry: &Entry, ask: &Ask<'_>) -> Result<Plan, LibraryError> {
        let known = ["refnet", "kind", "kubeconfig"];
        let Some(provider) = ask.found.cloned().or_else(|| Capability::named(ask.provider)) else {
            let hint = hint(ask.provider, known, "providers are refnet, kind and kubeconfig");
            return Err(LibraryError::NoProvider { name: ask.provider.to_owned(), hint });
        };
        let mut profile = self.profile(ask.profile.unwrap_or(&entry.scenario.install.profile))?;
        if let Some(version) = ask.cilium {
            Version::parse(version)?;
            profile.cilium = version.trim_start_matches('v').to_owned();
        }
        let upgrades = profile.upgrades.as_deref().map(|name| self.profile(name)).transpose()?;
        let input = PlanInput {
            upgrades: upgrades.as_ref(),
            name: &entry.name,
            scenario: &entry.scenario,
            manifests: &entry.manifests,
            profile: &profile,
            provider: &provider,
            unavailable: ask.unavailable,
            values: &ask.values,
            fault: ask.fault,
            seed: ask.seed,
        };
        Ok(plumb_core::plan::plan(&input)?)
    }
}

fn scenario_folders(folder: &Path, prefix: &str) -> Result<Vec<String>, LibraryError> {
    let folders = entries(folder)?.into_iter().filter(|path| path.join("scenario.yaml").is_file());
    Ok(folders.filter_map(|path| Some(format!("{prefix}{}", path.file_name()?.to_str()?))).collect())
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, LibraryError> {
    let failed = |source| LibraryError::Read { path: folder.to_owned(), source };
    fs::read_dir(folder).map_err(failed)?.map(|entry| entry.map(|entry| entry.path()).map_err(failed)).collect()
}

/// Reads every YAML file under `folder`, but the scenario itself.
fn beside(root: &Path, folder: &Path, manifests: &mut BTreeMap<String, String>) -> Result<(), LibraryError> {
    for path in entries(folder)? {
        let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
        if path.is_dir() {
            beside(root, &path, manifests)?;
        } else if name != "scenario.yaml" && path.extension().is_some_and(|e| e == "yaml" || e == "yml") {
            manifests.insert(name, read(&path)?);
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<String, LibraryError> {
    let failed = |source| LibraryError::Read { path: path.to_owned(), source };
    let size = fs::metadata(path).map_err(failed)?.len();
    if size > FILE_BYTES_MAX {
        return Err(failed(std::io::Error::new(std::io::ErrorKind::FileTooLarge, format!("{size} bytes, at most {FILE_BYTES_MAX}"))));
    }
    fs::read_to_string(path).map_err(failed)
}

/// A path as a reader would type it: from here, where it lies below.
fn shown(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(&here).unwrap_or(path).display().to_string()
}

fn hint<'a>(given: &str, known: impl IntoIterator<Item = &'a str>, otherwise: &str) -> String {
    match nearest(given, known) {
        Some(near) => format!("\nhint: did you mean `{near}`?"),
        None => format!("\nhint: {otherwise}"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use plumb_core::profile::foreseen;

    use super::*;

    fn on_kind(cilium: Option<&str>) -> Vec<Plan> {
        let library = Library::find(None).unwrap();
        let found = plumb_core::capability::Capability::named("kind");
        let ask = Ask { provider: "kind", seed: 1, found: found.as_ref(), cilium, ..Ask::default() };
        let plans = library.names().unwrap().into_iter().map(|name| library.plan(&library.scenario(&name).unwrap(), &ask).unwrap());
        plans.collect()
    }

    #[test]
    fn nothing_is_known_to_be_wrong_with_what_the_scenarios_install() {
        let plans = on_kind(None);
        assert!(plans.len() > 10);
        for plan in plans {
            assert_eq!(foreseen(&plan), vec![], "{}", plan.trial);
        }
    }

    /// Seen on a real cluster: the operator of 1.20 waited for definitions that 1.17 did without.
    #[test]
    fn definitions_that_another_version_of_cilium_waits_for_are_told_beforehand() {
        let plans = on_kind(Some("1.20.0"));
        let told = |name: &str| -> Vec<&str> {
            let plan = plans.iter().find(|plan| plan.name == name).unwrap();
            foreseen(plan).iter().map(|finding| finding.rule).collect()
        };
        assert_eq!(told("tls-terminate"), ["gateway-definitions-missing", "tls-route-version"]);
        assert_eq!(told("l2-announce"), Vec::<&str>::new());
    }
}
