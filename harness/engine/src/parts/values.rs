//! Values files (`--values FILE`): YAML maps as Helm takes them, read into dotted keys.

use std::path::{Path, PathBuf};

use plumb_core::values::{Values, flatten};

/// A values file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("read the values file {}: {message}", path.display())]
pub struct ValuesError {
    path: PathBuf,
    message: String,
}

/// Reads a values file. An empty one has no values.
///
/// # Errors
/// The file cannot be read, or is no YAML map.
pub fn read_values(path: &Path) -> Result<Values, ValuesError> {
    let failed = |message: String| ValuesError { path: path.to_owned(), message };
    let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
    let options = serde_saphyr::options! { strict_booleans: true, legacy_octal_numbers: true };
    let values: Option<Values> = serde_saphyr::from_str_with_options(&text, options).map_err(|error| failed(error.to_string()))?;
    Ok(flatten(&values.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use serde_json::json;

    fn read(text: &str) -> Result<Values, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        read_values(file.path()).map_err(|error| error.to_string())
    }

    #[test]
    fn nested_maps_become_dotted_keys_and_lists_stay_whole() {
        let read = read("image:\n  useDigest: false\nextraHostPathMounts:\n- {name: wg, hostPath: /var/run/wireguard}\n").unwrap();
        let expected = json!({"image.useDigest": false, "extraHostPathMounts": [{"name": "wg", "hostPath": "/var/run/wireguard"}]});
        assert_eq!(read, serde_json::from_value(expected).unwrap());
    }

    #[test]
    fn an_empty_file_has_no_values_and_a_list_is_refused_by_name() {
        assert_eq!(read("# nothing\n").unwrap(), Values::new());
        let error = read("- a\n").unwrap_err();
        assert!(error.starts_with("read the values file /"), "{error}");
    }
}
