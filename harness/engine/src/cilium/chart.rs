//! The chart in a folder: which version it is, and whether that is the one a trial wants.

use std::path::Path;

use super::{Chart, CiliumError, Wanted};

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
        (Some("cilium"), Some(version)) => Ok(version.strip_prefix('v').unwrap_or(&version).to_owned()),
        (Some("cilium"), None) => Err("its Chart.yaml names no version".into()),
        (name, _) => Err(format!("its Chart.yaml is of {}, not of cilium", name.unwrap_or("nothing"))),
    }
}

/// Refuses a chart of another version than is wanted: a trial that says 1.17.1 must not run 1.17.14 unseen.
pub(super) fn check(wanted: &Wanted) -> Result<(), CiliumError> {
    let Chart::Directory(path) = &wanted.chart else { return Ok(()) };
    let failed = |message| CiliumError::Chart { path: path.clone(), message };
    let found = chart_version(path).map_err(failed)?;
    let asked = wanted.version.strip_prefix('v').unwrap_or(&wanted.version);
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
}
