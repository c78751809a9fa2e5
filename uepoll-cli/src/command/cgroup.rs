//! The cgroup that `--cgroup` names: its number and depth, by which the kernel
//! side knows it, and the processes that are in it now.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Inode of the hierarchy's root directory, in every kernel: what a cgroup
/// namespace shows as root has another.
const ROOT_INODE: u64 = 1;

/// Why a cgroup cannot be watched.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// Cgroups v2 are not to be seen.
    #[error(
        "no cgroup v2 hierarchy is mounted here, which --cgroup needs: run \
         `mount -t cgroup2 none /sys/fs/cgroup`"
    )]
    NotMounted,
    /// What is mounted is a part of the hierarchy only.
    #[error(
        "{mount} shows a part of the cgroup hierarchy only, where depths are not those that the \
         kernel counts: start the container with the host's cgroup namespace (docker run \
         --cgroupns=host)"
    )]
    PartOnly {
        /// Where it is mounted.
        mount: String,
    },
    /// There is no such cgroup.
    #[error(
        "there is no cgroup {path} (v2, below {mount}): `cat /proc/PID/cgroup` tells a process's"
    )]
    NoSuchCgroup {
        /// As it was named.
        path: String,
        /// Where the hierarchy is mounted.
        mount: String,
    },
    /// A threaded cgroup holds threads, and rings belong to processes.
    #[error(
        "{path} is a threaded cgroup, which holds threads and no processes: name the one above it"
    )]
    Threaded {
        /// Its directory.
        path: String,
    },
    /// The system refused.
    #[error("cannot read {path}")]
    System {
        /// What was to be read.
        path: String,
        /// What the system said.
        source: io::Error,
    },
}

/// A cgroup of the v2 hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cgroup {
    /// Its number: the inode of its directory.
    pub id: u64,
    /// Its depth: 0 for the root of the hierarchy.
    pub level: u32,
    /// Its directory.
    path: PathBuf,
}

impl Cgroup {
    /// The cgroup of this name: its directory, or its path in the hierarchy as
    /// /proc/PID/cgroup shows it.
    ///
    /// # Errors
    /// See [`CgroupError`].
    pub fn find(name: &Path) -> Result<Self, CgroupError> {
        let mounts = read("/proc/self/mountinfo")?;
        let mount = mount_of(&mounts).ok_or(CgroupError::NotMounted)?;
        Self::find_below(&mount, name)
    }

    fn find_below(mount: &Path, name: &Path) -> Result<Self, CgroupError> {
        let root = fs::metadata(mount).map_err(system(mount))?;
        if root.ino() != ROOT_INODE {
            return Err(CgroupError::PartOnly { mount: mount.display().to_string() });
        }
        let missing = || CgroupError::NoSuchCgroup {
            path: name.display().to_string(),
            mount: mount.display().to_string(),
        };
        let path = directory(mount, name).ok_or_else(missing)?;
        let below = path.strip_prefix(mount).map_err(|_| missing())?;
        let level = u32::try_from(below.components().count()).map_err(|_| missing())?;
        let id = fs::metadata(&path).map_err(system(&path))?.ino();
        Ok(Self { id, level, path })
    }

    /// The processes in it and below it, each once, numbered as in the caller's
    /// pid namespace; 0 for one that is outside of that.
    ///
    /// # Errors
    /// [`CgroupError::Threaded`], or if it cannot be read.
    pub fn processes(&self) -> Result<Vec<u32>, CgroupError> {
        let mut found = processes_in(&self.path)?;
        let mut folders = vec![self.path.clone()];
        while let Some(folder) = folders.pop() {
            // A cgroup below may be removed while it is read: then it is empty.
            for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    found.extend(processes_in(&entry.path()).unwrap_or_default());
                    folders.push(entry.path());
                }
            }
        }
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }
}

/// The processes of one cgroup.
fn processes_in(folder: &Path) -> Result<Vec<u32>, CgroupError> {
    let path = folder.join("cgroup.procs");
    match fs::read_to_string(&path) {
        Ok(text) => Ok(text.lines().filter_map(|line| line.parse().ok()).collect()),
        // cgroup_procs_show() of a cgroup whose type is "threaded".
        Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => {
            Err(CgroupError::Threaded { path: folder.display().to_string() })
        }
        Err(source) => Err(system(&path)(source)),
    }
}

/// Where the hierarchy is mounted, whole if anywhere so.
fn mount_of(mountinfo: &str) -> Option<PathBuf> {
    let mounts = mountinfo.lines().filter_map(|line| {
        // ID PARENT MAJ:MIN ROOT MOUNTPOINT OPTIONS [TAGS...] - TYPE SOURCE ...
        let (mount, filesystem) = line.split_once(" - ")?;
        let mut words = mount.split(' ').skip(3);
        let (root, point) = (words.next()?, words.next()?);
        (filesystem.split(' ').next()? == "cgroup2").then(|| (root == "/", unescaped(point)))
    });
    // The last that was mounted lies over the others.
    mounts.max_by_key(|(whole, _)| *whole).map(|(_, point)| point)
}

/// A path of mountinfo, in which blanks are octal.
fn unescaped(path: &str) -> PathBuf {
    let path = path.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n");
    path.replace("\\134", "\\").into()
}

/// The directory of a cgroup below `mount`, by either of its names.
fn directory(mount: &Path, name: &Path) -> Option<PathBuf> {
    let mount = mount.canonicalize().ok()?;
    let in_hierarchy = mount.join(name.strip_prefix("/").unwrap_or(name));
    // As a directory first: /sys/fs/cgroup/x could be a cgroup's path as well,
    // but nobody means that.
    [name.to_owned(), in_hierarchy]
        .into_iter()
        .filter_map(|path| path.canonicalize().ok())
        .find(|path| path.is_dir() && path.starts_with(&mount))
}

fn read(path: &str) -> Result<String, CgroupError> {
    fs::read_to_string(path).map_err(system(Path::new(path)))
}

fn system(path: &Path) -> impl FnOnce(io::Error) -> CgroupError {
    let path = path.display().to_string();
    move |source| CgroupError::System { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
        22 1 0:20 / /sys rw,nosuid - sysfs sysfs rw\n\
        30 22 0:26 /part /mnt/part rw - cgroup2 cgroup2 rw\n\
        31 22 0:26 / /sys/fs/my\\040cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n\
        32 22 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n";

    #[test]
    fn the_whole_hierarchy_is_found_among_mounts() {
        assert_eq!(mount_of(MOUNTS), Some("/sys/fs/my cgroup".into()));
        assert_eq!(mount_of("22 1 0:20 / /sys rw - sysfs sysfs rw\n"), None);
        assert_eq!(mount_of(""), None);
    }

    #[test]
    fn a_cgroup_is_found_by_directory_and_by_its_path_in_the_hierarchy() {
        let mount = tempfile::tempdir().expect("a folder");
        let cgroup = mount.path().join("a.slice/b.service");
        fs::create_dir_all(&cgroup).expect("a folder");
        let cgroup = cgroup.canonicalize().expect("it is there");
        for name in
            [cgroup.as_path(), Path::new("/a.slice/b.service"), Path::new("a.slice/b.service")]
        {
            assert_eq!(directory(mount.path(), name), Some(cgroup.clone()), "{name:?}");
        }
        assert_eq!(directory(mount.path(), Path::new("/a.slice/none")), None);
        // What is outside of the hierarchy is none of its cgroups.
        assert_eq!(directory(&cgroup, Path::new("..")), None);
    }

    #[test]
    fn a_part_of_the_hierarchy_is_refused() {
        let mount = tempfile::tempdir().expect("a folder");
        let error = Cgroup::find_below(mount.path(), Path::new("/")).expect_err("no root inode");
        assert!(matches!(error, CgroupError::PartOnly { .. }), "{error}");
    }

    #[test]
    fn processes_of_the_cgroups_below_are_counted_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let below = folder.path().join("x/y");
        fs::create_dir_all(&below).expect("a folder");
        fs::write(folder.path().join("cgroup.procs"), "7\n9\n").expect("written");
        fs::write(below.join("cgroup.procs"), "8\n7\n").expect("written");
        let cgroup = Cgroup { id: 1, level: 0, path: folder.path().to_owned() };
        assert_eq!(cgroup.processes().expect("readable"), [7, 8, 9]);
    }
}
