//! Charts in folders: which version one is, whether that is the one a trial wants, and which of several is.

use std::path::{Path, PathBuf};

use super::{Chart, CiliumError, Wanted};
use crate::parts::{Given, Reach};

/// What is read of `Chart.yaml`.
#[derive(serde::Deserialize)]
struct Head {
    name: Option<String>,
    version: Option<String>,
}

/// The version in `Chart.yaml` of an unpacked chart, without a `v` before it.
///
/// # Errors
/// In words: there is no such file, or it is not Cilium's.
pub fn chart_version(folder: &Path) -> Result<String, String> {
    let file = folder.join("Chart.yaml");
    let text = std::fs::read_to_string(&file).map_err(|error| {
        let found = if folder.is_dir() { "it has no Chart.yaml that can be read" } else { "it is no folder" };
        format!("{found} ({error})\nhint: --chart takes the folder of an unpacked chart")
    })?;
    let head: Head = serde_saphyr::from_str(&text).map_err(|error| format!("its Chart.yaml cannot be understood: {error}"))?;
    match (head.name.as_deref(), head.version) {
        (Some("cilium"), Some(version)) => Ok(bare(&version).to_owned()),
        (Some("cilium"), None) => Err("its Chart.yaml names no version".into()),
        (name, _) => Err(format!("its Chart.yaml is of {}, not of cilium", name.unwrap_or("nothing"))),
    }
}

impl Chart {
    /// The chart of a version: the folder that is given, or the one of that version in it, for `--chart` may be a folder of unpacked
    /// charts as an upgrade needs; else the release, which the CLI has within or downloads.
    ///
    /// # Errors
    /// [`CiliumError::Chart`] when the folder has no chart of that version, [`CiliumError::NoChart`] when none is given and nothing may
    /// leave the machine.
    pub fn of(given: &Given, version: &str) -> Result<Chart, CiliumError> {
        let Some(folder) = &given.chart else {
            return match given.reach {
                Reach::Online => Ok(Chart::Version(version.to_owned())),
                Reach::Offline => Err(CiliumError::NoChart { version: version.to_owned() }),
            };
        };
        if folder.join("Chart.yaml").exists() {
            return matches(folder, version).map(|()| Chart::Directory(folder.clone()));
        }
        let charts = charts_in(folder);
        match charts.iter().find(|(_, found)| found == bare(version)) {
            Some((path, _)) => Ok(Chart::Directory(path.clone())),
            None if charts.is_empty() => matches(folder, version).map(|()| Chart::Directory(folder.clone())),
            None => {
                let versions: Vec<&str> = charts.iter().map(|(_, version)| version.as_str()).collect();
                let message = format!("it has charts of {}, the trial wants {}", versions.join(", "), bare(version));
                Err(CiliumError::Chart { path: folder.clone(), message })
            }
        }
    }
}

/// Charts of Cilium in the folders of a folder, with their versions, in the order of names.
fn charts_in(folder: &Path) -> Vec<(PathBuf, String)> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    paths.sort();
    // `helm pull --untar` and the archives of the project both have the chart in a folder `cilium`.
    let places = paths.into_iter().flat_map(|path| [path.join("cilium"), path]);
    places.filter_map(|path| chart_version(&path).ok().map(|version| (path, version))).collect()
}

fn bare(version: &str) -> &str {
    version.strip_prefix('v').unwrap_or(version)
}

/// Refuses a chart of another version than is wanted: a trial that says 1.17.1 must not run 1.17.14 unseen.
pub(super) fn check(wanted: &Wanted) -> Result<(), CiliumError> {
    match &wanted.chart {
        Chart::Directory(path) => matches(path, &wanted.version),
        Chart::Version(_) => Ok(()),
    }
}

fn matches(path: &Path, version: &str) -> Result<(), CiliumError> {
    let failed = |message| CiliumError::Chart { path: path.to_owned(), message };
    let found = chart_version(path).map_err(failed)?;
    let asked = bare(version);
    if found == asked {
        return Ok(());
    }
    Err(failed(format!("it is of version {found}, the trial wants {asked}\nhint: --cilium-version {found} runs the trial with this chart")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::cilium::Digests;
    use plumb_core::values::Values;

    fn folder(chart: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("Chart.yaml"), chart).unwrap();
        folder
    }

    #[test]
    fn the_version_is_read_and_what_is_no_chart_is_said() {
        let read = |chart| chart_version(folder(chart).path());
        assert_eq!(read("apiVersion: v2\nname: cilium\nversion: 1.17.14\nappVersion: 1.17.14\n").unwrap(), "1.17.14");
        assert_eq!(read("name: cilium\nversion: v1.20.0-dev\n").unwrap(), "1.20.0-dev");
        assert_eq!(read("name: tetragon\nversion: 1.0.0\n").unwrap_err(), "its Chart.yaml is of tetragon, not of cilium");
        assert_eq!(read("name: cilium\n").unwrap_err(), "its Chart.yaml names no version");
        let error = chart_version(Path::new("/nowhere/at/all")).unwrap_err();
        assert!(error.starts_with("it is no folder (") && error.ends_with("the folder of an unpacked chart"), "{error}");
    }

    #[test]
    fn a_chart_of_another_version_is_refused_with_the_option_that_takes_it() {
        let chart = folder("name: cilium\nversion: 1.17.14\n");
        let wanted = |version: &str| Wanted {
            chart: Chart::Directory(chart.path().to_owned()),
            version: version.into(),
            values: Values::new(),
            digests: Digests::Keep,
        };
        check(&wanted("1.17.14")).unwrap();
        check(&wanted("v1.17.14")).unwrap();
        let error = check(&wanted("1.17.1")).unwrap_err().to_string();
        assert!(error.ends_with("hint: --cilium-version 1.17.14 runs the trial with this chart"), "{error}");
        assert!(error.contains("it is of version 1.17.14, the trial wants 1.17.1"), "{error}");
    }

    #[test]
    fn the_chart_of_a_version_is_found_among_several() {
        let folder = tempfile::tempdir().unwrap();
        for (place, version) in [("a/cilium", "1.16.2"), ("cilium-1.17.1", "1.17.1")] {
            std::fs::create_dir_all(folder.path().join(place)).unwrap();
            std::fs::write(folder.path().join(place).join("Chart.yaml"), format!("name: cilium\nversion: {version}\n")).unwrap();
        }
        let given = |chart: &Path| Given { chart: Some(chart.to_owned()), ..Given::default() };
        let found = |version| Chart::of(&given(folder.path()), version);
        assert_eq!(found("1.16.2").unwrap(), Chart::Directory(folder.path().join("a/cilium")));
        assert_eq!(found("v1.17.1").unwrap(), Chart::Directory(folder.path().join("cilium-1.17.1")));
        let error = found("1.20.0").unwrap_err().to_string();
        assert!(error.ends_with("it has charts of 1.16.2, 1.17.1, the trial wants 1.20.0"), "{error}");
        let one = folder.path().join("cilium-1.17.1");
        assert_eq!(Chart::of(&given(&one), "1.17.1").unwrap(), Chart::Directory(one.clone()));
        assert!(Chart::of(&given(&one), "1.16.2").unwrap_err().to_string().contains("--cilium-version 1.17.1"));
        let empty = tempfile::tempdir().unwrap();
        assert!(Chart::of(&given(empty.path()), "1.17.1").unwrap_err().to_string().contains("it has no Chart.yaml"));
    }

    #[test]
    fn without_a_chart_the_release_is_asked_for_if_that_may_be() {
        assert_eq!(Chart::of(&Given::default(), "1.17.1").unwrap(), Chart::Version("1.17.1".into()));
        let offline = Given { reach: Reach::Offline, ..Given::default() };
        assert!(Chart::of(&offline, "1.17.1").unwrap_err().to_string().ends_with("--chart"));
    }
}
