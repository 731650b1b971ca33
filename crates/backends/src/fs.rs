//! Reads secrets from the files below one directory: one secret, or one JSON object of secrets, per file.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::Semaphore;
use vaultref_core::schema::{OptionValues, Rule};
use vaultref_core::{
    Backend, BoxFuture, Check, Context, Definition, Error, ErrorKind, Payload, Resource, Version, Versions,
};

use crate::nearest::nearest;

mod file;

use file::Failure;

/// Files below a directory, as in Kong's vault of the same name.
pub(crate) const DEFINITION: Definition = Definition {
    name: "fs",
    about: "files below a directory",
    options: Options::SPECS,
    versions: Versions::None,
    ambient: None,
    open,
};

/// So many files of one vault are read at a time. A read from a network file system that hangs holds a thread
/// until the system gives up; the threads are few, and others need them too.
const READS_MAX: usize = 16;

/// So many names are counted when the vault is checked.
const FILES_COUNTED_MAX: usize = 10_000;

vaultref_core::options! {
    /// What a vault that reads files can be told.
    struct Options {
        /// The directory that holds the files. A relative one starts at the working directory. Example: `/run/secrets`.
        prefix: String => {
            required: true,
            rule: Rule::Pattern { holds: |text| !text.contains('\0'), text: "a path without a NUL byte" },
        },
        /// The largest file that is read, in bytes.
        body_bytes_max: u64 => { default: Some("1048576"), rule: Rule::Between(1.0, 1_073_741_824.0) },
        /// Cut one line break off the end of a file: `\n` or `\r\n`.
        trim: bool => { default: Some("false") },
    }
}

fn open(values: &OptionValues, _: &Context) -> Result<Arc<dyn Backend>, Error> {
    let options = Options::from_values(values)
        .map_err(|name| Error::new(ErrorKind::InvalidConfig, format!("option `{name}` is not set")))?;
    // Only now, so that the vault stays where it is should the process change its working directory.
    let directory = std::path::absolute(&options.prefix).map_err(|error| {
        Error::new(
            ErrorKind::InvalidConfig,
            format!("directory `{}` cannot be located: {error}", options.prefix),
        )
    })?;
    let place = Place { directory, bytes_max: options.body_bytes_max, trim: options.trim };
    Ok(Arc::new(Fs { place: Arc::new(place), reads: Arc::new(Semaphore::new(READS_MAX)) }))
}

#[derive(Debug)]
struct Fs {
    place: Arc<Place>,
    reads: Arc<Semaphore>,
}

impl Backend for Fs {
    fn fetch<'a>(
        &'a self,
        resource: &'a Resource,
        _: Option<&'a Version>,
    ) -> BoxFuture<'a, Result<Payload, Error>> {
        Box::pin(async move {
            let name = relative(resource.as_str())?.to_owned();
            let place = Arc::clone(&self.place);
            let permit = Arc::clone(&self.reads).acquire_owned().await.expect("nobody closes the semaphore");
            let read = tokio::task::spawn_blocking(move || {
                // Held by the read itself: when the caller gives up, a read that hangs still counts.
                let _permit = permit;
                place.read(&name)
            });
            read.await.unwrap_or_else(|_| {
                Err(Error::new(ErrorKind::Internal, "the reader of the file was stopped"))
            })
        })
    }

    fn check(&self) -> BoxFuture<'_, Vec<Check>> {
        Box::pin(async move {
            let place = Arc::clone(&self.place);
            let looked = tokio::task::spawn_blocking(move || {
                let entries = std::fs::read_dir(&place.directory).map_err(|e| place.explain_directory(&e))?;
                // A volume of Kubernetes keeps its own affairs in names that start like this.
                let is_file = |entry: &std::fs::DirEntry| !entry.file_name().as_bytes().starts_with(b"..");
                let count = entries.take(FILES_COUNTED_MAX).flatten().filter(is_file).count();
                let more = if count == FILES_COUNTED_MAX { " or more" } else { "" };
                Ok(format!("`{}` can be entered; names in it: {count}{more}", place.directory.display()))
            });
            let stopped = || Err(Error::new(ErrorKind::Internal, "the look into the directory was stopped"));
            vec![Check { what: "directory", result: looked.await.unwrap_or_else(|_| stopped()) }]
        })
    }
}

/// The resource as a path that does not leave the directory by its own words. Links are another matter: only the
/// system that follows them can judge them.
fn relative(resource: &str) -> Result<&Path, Error> {
    let shown = resource.escape_debug();
    let (message, hint) = if resource.contains('\0') {
        (format!("file name `{shown}` holds a NUL byte"), "no file has such a name")
    } else if resource.starts_with('/') {
        (
            format!("file name `{shown}` is absolute"),
            "name the file as seen from the vault's directory (`prefix`)",
        )
    } else if resource.split('/').any(|part| part == "..") {
        (
            format!("file name `{shown}` has a `..` in it"),
            "a vault reads only what is below its directory; another directory needs a vault of its own",
        )
    } else {
        return Ok(Path::new(resource));
    };
    Err(Error::new(ErrorKind::InvalidReference, message).with_hint(hint))
}

/// Where the files are, and how they are read.
#[derive(Debug)]
struct Place {
    directory: PathBuf,
    bytes_max: u64,
    trim: bool,
}

impl Place {
    /// Blocks until the file is read.
    fn read(&self, name: &Path) -> Result<Payload, Error> {
        let mut bytes = file::read(&self.directory, name, self.bytes_max)
            .map_err(|failure| self.explain(name, failure))?;
        if self.trim {
            cut_line_break(&mut bytes);
        }
        Ok(Payload::new(std::mem::take(&mut *bytes)))
    }

    fn explain(&self, name: &Path, failure: Failure) -> Error {
        let directory = self.directory.display();
        let shown = name.display().to_string();
        let file = format!("`{}` in `{directory}`", shown.escape_debug());
        let error = |kind, message: String, hint: &str| Error::new(kind, message).with_hint(hint);
        match failure {
            Failure::NoDirectory(failure) => self.explain_directory(&failure),
            Failure::Astray => error(
                ErrorKind::Denied,
                format!("{file} does not lead to a file below that directory"),
                "a symbolic link leads out of it, to nothing or in a circle; set `prefix` to a directory that \
                 holds the link and its target",
            ),
            Failure::IsDirectory => error(
                ErrorKind::Denied,
                format!("{file} is a directory"),
                "the last part of a reference is a key; to name a file in a directory, end the reference with \
                 `/`, as in `{vault://fs/directory/file/}`",
            ),
            Failure::NotAFile(noun) => error(
                ErrorKind::Denied,
                format!("{file} is {noun}"),
                "only regular files are read, because others can wait for ever or have no end",
            ),
            Failure::TooLarge => error(
                ErrorKind::Corrupt,
                format!("{file} has more than {} bytes", self.bytes_max),
                "if it is the right file, raise the vault's option `body_bytes_max`",
            ),
            Failure::Changed => error(
                ErrorKind::Unavailable,
                format!("{file} changed while it was read"),
                "write a new file and rename it over the old one, so that nobody sees half of it",
            ),
            Failure::Io(failure) => match failure.kind() {
                io::ErrorKind::NotFound => self.explain_missing(name, format!("no file {file}")),
                // A part of the name stands for a file, or is too long for one.
                io::ErrorKind::NotADirectory | io::ErrorKind::InvalidFilename => {
                    Error::new(ErrorKind::NotFound, format!("no file {file}"))
                }
                io::ErrorKind::PermissionDenied => error(
                    ErrorKind::Denied,
                    format!("{file} may not be read: {failure}"),
                    "give the user that runs this process the right to read the file and to enter its directory",
                ),
                _ => Error::new(ErrorKind::Unavailable, format!("{file} cannot be read: {failure}")),
            },
        }
    }

    fn explain_missing(&self, name: &Path, message: String) -> Error {
        let error = Error::new(ErrorKind::NotFound, message);
        let Some(wanted) = name.file_name().and_then(|name| name.to_str()) else {
            return error;
        };
        let names = file::neighbours(&self.directory, name);
        if names.iter().any(|name| name == wanted) {
            return error.with_hint("it is a symbolic link, and what it points to is not there");
        }
        match nearest(wanted, names.iter().map(String::as_str)) {
            Some(found) => {
                let found = name.with_file_name(found).display().to_string();
                error.with_hint(format!("did you mean `{}`?", found.escape_debug()))
            }
            None => error,
        }
    }

    /// The directory is the vault's setting, so that a missing one is for the operator to mend.
    fn explain_directory(&self, failure: &io::Error) -> Error {
        let directory = self.directory.display();
        let (kind, what) = match failure.kind() {
            io::ErrorKind::NotFound => (ErrorKind::InvalidConfig, "does not exist".to_owned()),
            io::ErrorKind::NotADirectory => (ErrorKind::InvalidConfig, "is not a directory".to_owned()),
            io::ErrorKind::PermissionDenied => (ErrorKind::Denied, format!("may not be entered: {failure}")),
            _ => (ErrorKind::Unavailable, format!("cannot be opened: {failure}")),
        };
        Error::new(kind, format!("directory `{directory}` {what}"))
            .with_hint("the vault's option `prefix` names the directory that holds the files")
    }
}

/// Cuts `\n` or `\r\n` off the end, once.
fn cut_line_break(bytes: &mut Vec<u8>) {
    if bytes.ends_with(b"\n") {
        bytes.pop();
        if bytes.ends_with(b"\r") {
            bytes.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;
    use std::pin::pin;
    use std::task::Poll;
    use tempfile::TempDir;
    use vaultref_core::schema::OptionValue;

    /// A vault with these options in this directory.
    fn vault(directory: impl AsRef<Path>, options: &[(&'static str, OptionValue)]) -> Arc<dyn Backend> {
        let prefix = OptionValue::Text(directory.as_ref().to_str().unwrap().to_owned());
        let mut values: OptionValues = [
            ("prefix", prefix),
            ("body_bytes_max", OptionValue::Integer(1000)),
            ("trim", OptionValue::Boolean(false)),
        ]
        .into();
        values.extend(options.iter().cloned());
        open(&values, &Context::default()).unwrap()
    }

    async fn fetch(vault: &Arc<dyn Backend>, name: &str) -> Result<Vec<u8>, Error> {
        let payload = vault.fetch(&Resource::new(name).unwrap(), None).await?;
        Ok(payload.secret().expose().to_owned())
    }

    /// Kind, message and hint of the error, with `DIR` for the directory.
    async fn refused(directory: &Path, name: &str) -> String {
        let error = fetch(&vault(directory, &[]), name).await.unwrap_err();
        let hint = error.hint().map(|hint| format!(" -- {hint}")).unwrap_or_default();
        let text = format!("{}: {}{hint}", error.kind(), error.message());
        text.replace(directory.to_str().unwrap(), "DIR")
    }

    #[tokio::test]
    async fn a_file_is_its_bytes_and_trim_cuts_one_line_break() {
        let directory = TempDir::new().unwrap();
        for (content, trimmed) in [
            (&b"opensesame"[..], &b"opensesame"[..]),
            (b"opensesame\n", b"opensesame"),
            (b"opensesame\r\n", b"opensesame"),
            (b"opensesame\n\n", b"opensesame\n"),
            (b"opensesame\r", b"opensesame\r"),
            (b" a\nb ", b" a\nb "),
            (b"\n", b""),
            (b"", b""),
            (b"\0\xff\n", b"\0\xff"),
        ] {
            fs::write(directory.path().join("secret"), content).unwrap();
            assert_eq!(fetch(&vault(&directory, &[]), "secret").await.unwrap(), content);
            let trim = [("trim", OptionValue::Boolean(true))];
            assert_eq!(fetch(&vault(&directory, &trim), "secret").await.unwrap(), trimmed);
        }
    }

    #[tokio::test]
    async fn names_below_the_directory_are_read_whatever_they_look_like() {
        let directory = TempDir::new().unwrap();
        fs::create_dir_all(directory.path().join("a/..b")).unwrap();
        for name in ["a/..b/...", "a/b c", "%2F+", "-rf", "clé", "a\\b", "..data"] {
            fs::write(directory.path().join(name), name).unwrap();
            assert_eq!(fetch(&vault(&directory, &[]), name).await.unwrap(), name.as_bytes());
        }
        assert_eq!(fetch(&vault(&directory, &[]), "./a//./b c").await.unwrap(), b"a/b c");
    }

    #[tokio::test]
    async fn what_is_not_read_says_why_and_what_to_do() {
        let directory = TempDir::new().unwrap();
        let inside = |name: &str| directory.path().join(name);
        fs::write(inside("password"), "opensesame").unwrap();
        fs::write(inside("large"), [b'x'; 1001]).unwrap();
        fs::create_dir(inside("db")).unwrap();
        fs::write(inside("db/user-name"), "app").unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, inside("pipe"), 0o600.into()).unwrap();
        let _socket = UnixListener::bind(inside("socket")).unwrap();
        symlink("/dev/null", inside("null")).unwrap();
        symlink("gone", inside("dangling")).unwrap();

        for (name, expected) in [
            (
                "../x",
                "InvalidReference: file name `../x` has a `..` in it -- a vault reads only what is below its \
                      directory; another directory needs a vault of its own",
            ),
            (
                "db/..",
                "InvalidReference: file name `db/..` has a `..` in it -- a vault reads only what is below its \
                       directory; another directory needs a vault of its own",
            ),
            (
                "/etc/passwd",
                "InvalidReference: file name `/etc/passwd` is absolute -- name the file as seen from the \
                             vault's directory (`prefix`)",
            ),
            ("a\0b", "InvalidReference: file name `a\\0b` holds a NUL byte -- no file has such a name"),
            ("quite\nother", "NotFound: no file `quite\\nother` in `DIR`"),
            ("pasword", "NotFound: no file `pasword` in `DIR` -- did you mean `password`?"),
            ("db/user_name", "NotFound: no file `db/user_name` in `DIR` -- did you mean `db/user-name`?"),
            ("nowhere/x", "NotFound: no file `nowhere/x` in `DIR`"),
            ("password/x", "NotFound: no file `password/x` in `DIR`"),
            ("password/", "NotFound: no file `password/` in `DIR`"),
            (
                "dangling",
                "NotFound: no file `dangling` in `DIR` -- it is a symbolic link, and what it points to is \
                          not there",
            ),
            (
                "db",
                "Denied: `db` in `DIR` is a directory -- the last part of a reference is a key; to name a file in \
                    a directory, end the reference with `/`, as in `{vault://fs/directory/file/}`",
            ),
            (
                "pipe",
                "Denied: `pipe` in `DIR` is a named pipe -- only regular files are read, because others can wait \
                      for ever or have no end",
            ),
            (
                "socket",
                "Denied: `socket` in `DIR` is a socket or a device -- only regular files are read, because \
                        others can wait for ever or have no end",
            ),
            (
                "null",
                "Denied: `null` in `DIR` does not lead to a file below that directory -- a symbolic link leads \
                      out of it, to nothing or in a circle; set `prefix` to a directory that holds the link and its \
                      target",
            ),
            (
                "large",
                "Corrupt: `large` in `DIR` has more than 1000 bytes -- if it is the right file, raise the \
                       vault's option `body_bytes_max`",
            ),
        ] {
            assert_eq!(refused(directory.path(), name).await, expected);
        }
        let long = "x".repeat(300);
        assert_eq!(refused(directory.path(), &long).await, format!("NotFound: no file `{long}` in `DIR`"));
        assert_eq!(
            refused(Path::new("/dev"), "null").await,
            "Denied: `null` in `DIR` is a device -- only regular files are read, because others can wait for ever or \
             have no end",
        );
    }

    #[tokio::test]
    async fn a_directory_that_cannot_be_used_is_the_vaults_fault() {
        let directory = TempDir::new().unwrap();
        fs::write(directory.path().join("file"), "").unwrap();
        for (prefix, expected) in [("absent", "does not exist"), ("file", "is not a directory")] {
            let hint = "the vault's option `prefix` names the directory that holds the files";
            let expected = format!("InvalidConfig: directory `DIR` {expected} -- {hint}");
            assert_eq!(refused(&directory.path().join(prefix), "x").await, expected);
        }
    }

    #[test]
    fn a_relative_directory_is_one_of_the_working_directory_at_opening() {
        let vault = format!("{:?}", vault("some/where", &[]));
        let expected = std::env::current_dir().unwrap().join("some/where");
        assert!(vault.contains(&format!("{expected:?}")), "{vault}");
    }

    #[tokio::test]
    async fn a_directory_that_was_replaced_is_seen() {
        let parent = TempDir::new().unwrap();
        let (now, next) = (parent.path().join("now"), parent.path().join("next"));
        let vault = vault(&now, &[]);
        for (directory, value) in [(&now, "old"), (&next, "new")] {
            fs::create_dir(directory).unwrap();
            fs::write(directory.join("secret"), value).unwrap();
        }
        assert_eq!(fetch(&vault, "secret").await.unwrap(), b"old");
        fs::rename(&now, parent.path().join("before")).unwrap();
        fs::rename(&next, &now).unwrap();
        assert_eq!(fetch(&vault, "secret").await.unwrap(), b"new");
    }

    #[tokio::test]
    async fn reads_that_hang_do_not_take_more_threads_than_their_share() {
        let directory = TempDir::new().unwrap();
        fs::write(directory.path().join("secret"), "s").unwrap();
        let place = Place { directory: directory.path().to_owned(), bytes_max: 1000, trim: false };
        let vault = Fs { place: Arc::new(place), reads: Arc::new(Semaphore::new(READS_MAX)) };
        let hanging = vault.reads.acquire_many(READS_MAX as u32).await.unwrap();
        let resource = Resource::new("secret").unwrap();
        let mut fetch = pin!(vault.fetch(&resource, None));
        let waiting = std::future::poll_fn(|context| Poll::Ready(fetch.as_mut().poll(context).is_pending()));
        assert!(waiting.await);
        assert_eq!(vault.reads.available_permits(), 0);
        drop(hanging);
        assert_eq!(fetch.await.unwrap().secret().expose(), b"s");
        assert_eq!(vault.reads.available_permits(), READS_MAX);
    }
}
