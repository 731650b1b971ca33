//! Writes files that hold secrets: mode 0600 from the start, all at once, never through a symbolic link.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, linkat, open};
use tempfile::{Builder, NamedTempFile};
use vaultref::{Error, ErrorKind};

use crate::report::Problem;

/// How much is gathered before it is written.
const BUFFER_BYTES: usize = 256 * 1024;
/// How the name starts that a file has before it gets its own.
const DRAFT_PREFIX: &str = ".vaultref-";
/// The files that this process has open, as links to them.
const OWN_FILES: &str = "/proc/self/fd";

/// A file that replaces another when it is finished, and vanishes when it is not.
pub(crate) struct NewFile<'p> {
    path: &'p Path,
    file: BufWriter<Draft>,
}

/// The file until it gets its name.
enum Draft {
    /// A file without any name: nothing is left of it when the process is killed.
    Nameless(File),
    /// Where the file system has no such files. It is removed, but not when the process is killed.
    Named(NamedTempFile),
}

impl<'p> NewFile<'p> {
    /// Starts a file that is to be at `path`.
    pub(crate) fn at(path: &'p Path) -> Result<Self, Vec<Problem>> {
        refuse_what_is_no_file(path)?;
        let draft = Draft::new(directory(path)).map_err(|error| vec![unwritable(path, &error)])?;
        Ok(Self { path, file: BufWriter::with_capacity(BUFFER_BYTES, draft) })
    }

    /// Where to write to.
    pub(crate) fn writer(&mut self) -> &mut impl Write {
        &mut self.file
    }

    /// Puts the file in its place. An existing file keeps its owner, where we may give files away.
    pub(crate) fn finish(self) -> Result<(), Vec<Problem>> {
        let problem = |error: &io::Error| vec![unwritable(self.path, error)];
        let draft = self.file.into_inner().map_err(|error| problem(error.error()))?;
        if let Ok(existing) = fs::symlink_metadata(self.path) {
            keep_owner(draft.file(), &existing);
        }
        draft.file().sync_all().map_err(|error| problem(&error))?;
        draft.put(self.path).map_err(|error| problem(&error))
    }
}

impl Draft {
    fn new(directory: &Path) -> io::Result<Self> {
        let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
        match open(directory, flags, Mode::RUSR | Mode::WUSR) {
            // It gets its name by way of /proc.
            Ok(file) if Path::new(OWN_FILES).exists() => Ok(Self::Nameless(file.into())),
            _ => {
                let mode = fs::Permissions::from_mode(0o600);
                Builder::new().prefix(DRAFT_PREFIX).permissions(mode).tempfile_in(directory).map(Self::Named)
            }
        }
    }

    fn file(&self) -> &File {
        match self {
            Self::Nameless(file) => file,
            Self::Named(file) => file.as_file(),
        }
    }

    /// A rename replaces a symbolic link that appeared meanwhile; it does not follow it. A link would not replace
    /// anything, so that the file without a name gets one beside the other first.
    fn put(self, path: &Path) -> io::Result<()> {
        match self {
            Self::Named(file) => file.persist(path).map(drop).map_err(|error| error.error),
            Self::Nameless(file) => {
                let own = PathBuf::from(OWN_FILES).join(file.as_raw_fd().to_string());
                let link = |name: &Path| Ok(linkat(CWD, &own, CWD, name, AtFlags::SYMLINK_FOLLOW)?);
                let named = Builder::new().prefix(DRAFT_PREFIX).make_in(directory(path), link)?;
                named.persist(path).map_err(|error| error.error)
            }
        }
    }
}

impl Write for Draft {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Nameless(file) => file.write(bytes),
            Self::Named(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn refuse_what_is_no_file(path: &Path) -> Result<(), Vec<Problem>> {
    let refuse = |what: &str, hint: &str| {
        let message = format!("{} is {what}, and is not replaced", path.display());
        Err(vec![Error::new(ErrorKind::InvalidConfig, message).with_hint(hint).into()])
    };
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.file_type().is_symlink() => {
            refuse("a symbolic link", "name the file that it points to, or remove it")
        }
        Ok(metadata) if metadata.is_dir() => refuse("a directory", "name a file in it"),
        Ok(metadata) if !metadata.is_file() => {
            refuse("no regular file", "leave `-o` out and redirect standard output")
        }
        _ => Ok(()),
    }
}

fn keep_owner(file: &File, existing: &fs::Metadata) {
    let own = file.metadata().map(|metadata| (metadata.uid(), metadata.gid())).ok();
    if own != Some((existing.uid(), existing.gid())) {
        // Only root can; for others the file is theirs from now on.
        let _ = std::os::unix::fs::fchown(file, Some(existing.uid()), Some(existing.gid()));
    }
}

/// The problem of a file that cannot be written.
pub(crate) fn unwritable(path: &Path, error: &io::Error) -> Problem {
    let why = match error.kind() {
        io::ErrorKind::NotFound => format!("there is no directory {}", directory(path).display()),
        kind => kind.to_string(),
    };
    Error::new(ErrorKind::InvalidConfig, format!("{} cannot be written: {why}", path.display())).into()
}
