//! Paths that clients name: never beyond the directories that were allowed, whatever links and `..` say.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path, PathBuf};

use emotion_llama_core::media::OpenFile;
use rustix::fs::{Mode, OFlags};

use crate::config::ConfigError;
use crate::error::{ApiError, ApiResult};

/// What begins an address rather than a path.
const SCHEMES: [&str; 6] = ["data:", "file:", "http:", "https:", "ftp:", "blob:"];
/// Longest path.
const MAX_PATH: usize = 4096;
/// How often the kernel is asked again when a directory was moved while it looked.
const TRIES: usize = 8;

/// Directories below which clips may be named.
#[derive(Debug)]
pub struct Roots(Vec<Root>);

#[derive(Debug)]
struct Root {
    /// As it was given, and what that leads to.
    names: Vec<PathBuf>,
    directory: OwnedFd,
}

impl Roots {
    /// Opens the directories.
    ///
    /// # Errors
    /// Names the one that cannot be opened.
    pub fn open(paths: &[PathBuf]) -> Result<Self, ConfigError> {
        let open = |path: &PathBuf| -> io::Result<Root> {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let directory = rustix::fs::open(path, flags, Mode::empty())?;
            let mut names = vec![std::path::absolute(path)?, path.canonicalize()?];
            names.dedup();
            Ok(Root { names, directory })
        };
        let roots = paths.iter().map(|path| {
            open(path).map_err(|error| {
                ConfigError::new(format!(
                    "the media root {} cannot be opened: {error}; name a directory",
                    path.display()
                ))
            })
        });
        Ok(Self(roots.collect::<Result<_, _>>()?))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The file that `path` names: an absolute one below a root, or a relative one, which the first root that has it gives.
    ///
    /// # Errors
    /// `not_found` for what is not there, and, so that nothing is told of the rest of the machine, for all that is not below a root.
    pub fn find(&self, path: &str) -> ApiResult<OpenFile> {
        let asked = Path::new(path);
        for root in &self.0 {
            let below = match asked.is_absolute() {
                false => Some(asked),
                true => root.names.iter().find_map(|name| asked.strip_prefix(name).ok()),
            };
            let Some(below) = below.filter(|below| below.components().next().is_some()) else { continue };
            if let Ok(file) = open_beneath(&root.directory, below) {
                return regular(File::from(file), path);
            }
        }
        Err(not_found(path, "no file of that name is below a media root of this server"))
    }
}

/// Refuses what is no path of a file of this machine.
///
/// # Errors
/// `invalid_argument`.
pub fn check(path: &str) -> ApiResult<()> {
    let wrong =
        |why: &str| Err(ApiError::invalid(format!("{why}; give the path of a file of the server, or upload the clip")));
    let lower = path.trim_start().to_ascii_lowercase();
    let is_address = SCHEMES.iter().any(|scheme| lower.starts_with(scheme))
        || lower.split_once("://").is_some_and(|(scheme, _)| {
            !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
        });
    match path {
        "" => wrong("the path is empty"),
        path if path.contains('\0') => wrong("the path holds a NUL character"),
        path if path.len() > MAX_PATH => wrong("the path is too long"),
        path if path.starts_with("\\\\") || path.starts_with("//") => wrong("this server reads from no other machine"),
        _ if is_address => wrong("this server fetches nothing from addresses"),
        _ => Ok(()),
    }
}

/// Any file of the machine that this process may read.
///
/// # Errors
/// `not_found`; `invalid_argument` for what is no regular file.
pub fn open_anywhere(path: &str) -> ApiResult<OpenFile> {
    // Without waiting: opening a FIFO would wait for its writer.
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits();
    let file = File::options().read(true).custom_flags(flags.cast_signed()).open(path).map_err(|error| match error
        .kind()
    {
        io::ErrorKind::PermissionDenied => ApiError::invalid(format!(
            "{path} may not be read by the server (permission denied); check its access rights"
        )),
        _ => not_found(path, "the server has no such file"),
    })?;
    regular(file, path)
}

fn regular(file: File, path: &str) -> ApiResult<OpenFile> {
    let metadata = file.metadata().map_err(ApiError::internal)?;
    if metadata.is_file() {
        return Ok(OpenFile::new(file, path));
    }
    let kind = if metadata.is_dir() { "a directory" } else { "not a regular file" };
    Err(ApiError::invalid(format!("{path} is {kind}; give the path of a media file")))
}

fn not_found(path: &str, why: &str) -> ApiError {
    ApiError::not_found(format!("{path}: {why}; check the path")).with_details(serde_json::json!({"path": path}))
}

/// Opens `path` below `directory`. The kernel itself refuses to leave it.
fn open_beneath(directory: &OwnedFd, path: &Path) -> io::Result<OwnedFd> {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{openat2, ResolveFlags};
        use rustix::io::Errno;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        for _ in 0..TRIES {
            match openat2(directory, path, FLAGS, Mode::empty(), resolve) {
                Err(Errno::AGAIN) => {}
                // An older kernel, or a sandbox that does not know the call.
                Err(Errno::NOSYS | Errno::PERM) => return open_stepwise(directory, path),
                other => return Ok(other?),
            }
        }
    }
    open_stepwise(directory, path)
}

const FLAGS: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

/// As [`open_beneath`] where the kernel does not help: one step after the other, without links and `..`.
fn open_stepwise(directory: &OwnedFd, path: &Path) -> io::Result<OwnedFd> {
    let mut steps = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => steps.push(name),
            Component::CurDir => {}
            _ => return Err(io::ErrorKind::NotFound.into()),
        }
    }
    let last = steps.pop().ok_or(io::ErrorKind::NotFound)?;
    let mut place: Option<OwnedFd> = None;
    for step in steps {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        place = Some(rustix::fs::openat(place.as_ref().unwrap_or(directory), step, flags, Mode::empty())?);
    }
    Ok(rustix::fs::openat(place.as_ref().unwrap_or(directory), last, FLAGS | OFlags::NOFOLLOW, Mode::empty())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn nothing_beyond_a_root_is_opened() {
        let dir = tempfile::tempdir().unwrap();
        let (root, out) = (dir.path().join("root"), dir.path().join("out"));
        fs::create_dir_all(root.join("sub")).unwrap();
        fs::create_dir_all(&out).unwrap();
        fs::write(root.join("sub/clip.mp4"), "in").unwrap();
        fs::write(out.join("secret"), "out").unwrap();
        symlink("sub/clip.mp4", root.join("inner")).unwrap();
        symlink("../out/secret", root.join("leaf")).unwrap();
        symlink(&out, root.join("branch")).unwrap();
        symlink("/proc/self/root", root.join("magic")).unwrap();
        let link = dir.path().join("link");
        symlink(&root, &link).unwrap();
        let roots = Roots::open(std::slice::from_ref(&link)).unwrap();
        let absolute = |base: &Path| base.join("sub/clip.mp4").to_str().unwrap().to_owned();
        for good in
            ["sub/clip.mp4", "./sub/clip.mp4", "sub/../sub/clip.mp4", "inner", &absolute(&link), &absolute(&root)]
        {
            assert!(roots.find(good).is_ok(), "{good}");
        }
        let sibling = format!("{}-beside/x", root.display());
        let secret = out.join("secret");
        for bad in [
            "../out/secret",
            "sub/../../out/secret",
            "leaf",
            "branch/secret",
            "magic/etc/passwd",
            "/etc/passwd",
            "/proc/self/environ",
            &sibling,
            secret.to_str().unwrap(),
            "..%2fout%2fsecret",
            "sub\\clip.mp4",
            "none",
            "",
        ] {
            let error = roots.find(bad).unwrap_err();
            assert_eq!(error.code.name(), "not_found", "{bad}: {error}");
        }
        for directory in ["sub", "."] {
            assert_eq!(roots.find(directory).unwrap_err().code.name(), "invalid_argument");
        }
        let stepwise = |path: &str| open_stepwise(&roots.0[0].directory, Path::new(path));
        assert!(stepwise("sub/clip.mp4").is_ok());
        for bad in ["inner", "leaf", "branch/secret", "../out/secret", "sub/../sub/clip.mp4", "/etc/passwd", ""] {
            assert!(stepwise(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn addresses_are_no_paths() {
        for bad in [
            "",
            "a\0b",
            "http://169.254.169.254/x",
            "HTTPS://a/b",
            " http://a",
            "file:///etc/passwd",
            "file:/etc/passwd",
            "data:video/mp4;base64,AA",
            "rtsp://a",
            "s3://b/c",
            "\\\\host\\share\\a.mp4",
            "//host/share/a.mp4",
        ] {
            assert_eq!(check(bad).unwrap_err().code.name(), "invalid_argument", "{bad}");
        }
        for good in ["a.mp4", "/a/b.mp4", "C:/a.mp4", "a:b.mp4", "视频.mp4", "a b/../c"] {
            assert!(check(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn pipes_are_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, Mode::RWXU, 0).unwrap();
        let roots = Roots::open(&[dir.path().to_path_buf()]).unwrap();
        assert!(roots.find("pipe").unwrap_err().error.contains("not a regular file"));
        assert!(open_anywhere(pipe.to_str().unwrap()).is_err());
    }
}
