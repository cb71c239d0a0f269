//! A disk of a few kilobytes: a tmpfs in a mount namespace of its own, made by this program started again, in which `plumb` runs.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getgid, getuid};

use crate::plumb;
use crate::world::Ended;

/// What the inner program says when it cannot make the disk.
const NO_DISK: u8 = 77;

/// Runs `plumb` with its run folders on a disk of so many bytes; what is on it at the end is copied to `kept`.
///
/// # Errors
/// Why there is no such disk here.
pub(crate) fn run_on_a_small_disk(bytes: usize, kept: &Path, arguments: &[&str]) -> Result<Ended, String> {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg("__small_disk").arg(bytes.to_string()).arg(kept).args(arguments);
    let output = command.stdin(Stdio::null()).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    match output.status.code() {
        Some(code) if code == i32::from(NO_DISK) => Err(said),
        code => Ok(Ended { code: code.unwrap_or(-1), said, folder: kept.to_owned() }),
    }
}

/// The inner program, if this is it.
pub(crate) fn dispatch(words: &[String]) -> Option<ExitCode> {
    let [_, word, bytes, kept, arguments @ ..] = words else { return None };
    if word != "__small_disk" {
        return None;
    }
    let disk = match small_disk(bytes) {
        Ok(disk) => disk,
        Err(error) => {
            println!("no mount namespace with a tmpfs here: {error}");
            return Some(ExitCode::from(NO_DISK));
        }
    };
    let status = Command::new(plumb()).args(arguments).arg("--out").arg(&disk).status().unwrap();
    copy(&disk, Path::new(kept));
    nix::mount::umount2(&disk, nix::mount::MntFlags::MNT_DETACH).unwrap();
    std::fs::remove_dir(&disk).unwrap();
    Some(ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)))
}

fn small_disk(bytes: &str) -> Result<PathBuf, std::io::Error> {
    let (uid, gid) = (getuid(), getgid());
    if unshare(CloneFlags::CLONE_NEWNS).is_err() {
        unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS)?;
        std::fs::write("/proc/self/setgroups", "deny")?;
        std::fs::write("/proc/self/uid_map", format!("0 {uid} 1"))?;
        std::fs::write("/proc/self/gid_map", format!("0 {gid} 1"))?;
    }
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
    let disk = std::env::temp_dir().join(format!("plumb-small-disk-{}", std::process::id()));
    std::fs::create_dir(&disk)?;
    mount(Some("tmpfs"), &disk, Some("tmpfs"), MsFlags::empty(), Some(format!("size={bytes}").as_str()))?;
    Ok(disk)
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
