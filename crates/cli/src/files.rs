//! Writes files that hold secrets: mode 0600 from the start, all at once, never through a symbolic link.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use tempfile::{Builder, NamedTempFile};
use vaultref::{Error, ErrorKind};

use crate::report::Problem;

/// How much is gathered before it is written.
const BUFFER_BYTES: usize = 256 * 1024;

/// A file that replaces another when it is finished, and vanishes when it is not.
pub(crate) struct NewFile<'p> {
    path: &'p Path,
    file: BufWriter<NamedTempFile>,
}

impl<'p> NewFile<'p> {
    /// Starts a file beside `path`.
    pub(crate) fn beside(path: &'p Path) -> Result<Self, Vec<Problem>> {
        refuse_what_is_no_file(path)?;
        let directory =
            path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mode = fs::Permissions::from_mode(0o600);
        let file = Builder::new().prefix(".vaultref-").permissions(mode).tempfile_in(directory);
        let file = file.map_err(|error| vec![unwritable(path, &error)])?;
        Ok(Self { path, file: BufWriter::with_capacity(BUFFER_BYTES, file) })
    }

    /// Where to write to.
    pub(crate) fn writer(&mut self) -> &mut impl Write {
        &mut self.file
    }

    /// Puts the file in its place. An existing file keeps its owner, where we may give files away.
    pub(crate) fn finish(self) -> Result<(), Vec<Problem>> {
        let problem = |error: &io::Error| vec![unwritable(self.path, error)];
        let file = self.file.into_inner().map_err(|error| problem(error.error()))?;
        if let Ok(existing) = fs::symlink_metadata(self.path) {
            keep_owner(file.as_file(), &existing);
        }
        file.as_file().sync_all().map_err(|error| problem(&error))?;
        // A rename replaces a symbolic link that appeared meanwhile; it does not follow it.
        file.persist(self.path).map_err(|error| problem(&error.error))?;
        Ok(())
    }
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

fn unwritable(path: &Path, error: &io::Error) -> Problem {
    Error::new(ErrorKind::InvalidConfig, format!("{} cannot be written: {}", path.display(), error.kind()))
        .into()
}
