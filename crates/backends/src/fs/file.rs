//! Reads one file below a directory, whole, and nothing that is not below it.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt};
use rustix::fs::OFlags;
use rustix::io::Errno;
use zeroize::Zeroizing;

/// At most so many names of a directory are looked at for a misspelt one.
const NEIGHBOURS_MAX: usize = 1000;

/// The first buffer for a file whose size the system does not know.
const GUESS_BYTES: u64 = 4096;

/// Why a file was not read.
#[derive(Debug)]
pub(super) enum Failure {
    /// The directory that holds the files cannot be opened.
    NoDirectory(io::Error),
    /// A symbolic link on the way leads out of the directory, to nothing, or in a circle.
    Astray,
    /// It is a directory.
    IsDirectory,
    /// It is no regular file either; the noun, with its article, says what it is.
    NotAFile(&'static str),
    /// It has more bytes than it may have.
    TooLarge,
    /// It had another size when it was read than when it was opened.
    Changed,
    /// The operating system says no.
    Io(io::Error),
}

/// Reads the file `name` of `directory`. `name` is relative and has no `..`.
///
/// The directory is opened anew for each file, so that one which was replaced by a rename or a mount is seen.
pub(super) fn read(directory: &Path, name: &Path, bytes_max: u64) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let opened = Dir::open_ambient_dir(directory, ambient_authority()).map_err(Failure::NoDirectory)?;
    let file = open(&opened, directory, name)?;
    let metadata = file.metadata().map_err(Failure::Io)?;
    // What was opened is looked at, not what has that name by now.
    match metadata.file_type() {
        kind if kind.is_file() => read_whole(file, metadata.len(), bytes_max),
        kind if kind.is_dir() => Err(Failure::IsDirectory),
        kind if kind.is_fifo() => Err(Failure::NotAFile("a named pipe")),
        _ => Err(Failure::NotAFile("a device")),
    }
}

fn open(opened: &Dir, directory: &Path, name: &Path) -> Result<File, Failure> {
    // Opening a FIFO waits for a writer without NONBLOCK, and a terminal could become ours without NOCTTY.
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(flags);

    let file = opened.open_with(name, &options).or_else(|error| match is_escape(&error) {
        // A link that is absolute, or goes up and comes back, counts as leading out even if its end is below the
        // directory. That end is opened by its own name, and beneath the directory: a link that is exchanged
        // meanwhile gains nothing.
        true => opened.open_with(resolved(directory, name).ok_or(error)?, &options),
        false => Err(error),
    });
    file.map(cap_std::fs::File::into_std).map_err(|error| match Errno::from_io_error(&error) {
        _ if is_escape(&error) => Failure::Astray,
        Some(Errno::LOOP) => Failure::Astray,
        // What `open` says of a socket, and of a device that has no driver.
        Some(Errno::NXIO | Errno::NODEV | Errno::OPNOTSUPP) => Failure::NotAFile("a socket or a device"),
        _ => Failure::Io(error),
    })
}

/// Whether cap-std refused a path that leads out of the directory. It makes this error itself; a permission that
/// the system denies comes with the system's code.
fn is_escape(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied && error.raw_os_error().is_none()
}

/// The path below `directory` that `name` leads to once all links are followed; `None` if it is not below.
fn resolved(directory: &Path, name: &Path) -> Option<PathBuf> {
    let target = directory.join(name).canonicalize().ok()?;
    Some(target.strip_prefix(directory.canonicalize().ok()?).ok()?.to_owned())
}

/// Reads to the end of `source`, of which the system says that it has `size` bytes.
///
/// The bytes stand in zeroizing buffers only, and none of them is ever reallocated: that would leave a copy
/// behind in freed memory.
fn read_whole(mut source: impl Read, size: u64, bytes_max: u64) -> Result<Zeroizing<Vec<u8>>, Failure> {
    if size > bytes_max {
        return Err(Failure::TooLarge);
    }
    // procfs and some FUSE file systems say 0 and have more.
    let guess = if size == 0 { GUESS_BYTES } else { size };
    let mut buffer = zeroes(guess.min(bytes_max) + 1)?;
    let mut filled = 0;
    loop {
        match source.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Failure::Io(error)),
        }
        // The last byte is one more than there should be: whatever fills it goes on.
        if filled == buffer.len() {
            match filled as u64 {
                filled if filled > bytes_max => return Err(Failure::TooLarge),
                _ if size != 0 => return Err(Failure::Changed),
                filled => {
                    let mut larger = zeroes((2 * filled).min(bytes_max) + 1)?;
                    larger[..buffer.len()].copy_from_slice(&buffer);
                    buffer = larger;
                }
            }
        }
    }
    if size != 0 && filled as u64 != size {
        return Err(Failure::Changed);
    }
    buffer.truncate(filled);
    Ok(buffer)
}

fn zeroes(count: u64) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let count = usize::try_from(count).map_err(|_| Failure::TooLarge)?;
    Ok(Zeroizing::new(vec![0; count]))
}

/// The names beside `name` in its directory, as far as they are text: for a hint only.
pub(super) fn neighbours(directory: &Path, name: &Path) -> Vec<String> {
    let folder = name.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
    let opened = Dir::open_ambient_dir(directory, ambient_authority());
    let Ok(entries) = opened.and_then(|opened| opened.read_dir(folder)) else {
        return Vec::new();
    };
    let names = entries.take(NEIGHBOURS_MAX).filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::sync::atomic::{AtomicBool, Ordering};
    use tempfile::TempDir;

    /// `inside/` with a file and a folder with a file, and `outside/` with another file.
    fn place() -> TempDir {
        let place = TempDir::new().unwrap();
        for (file, content) in
            [("inside/secret", "inside"), ("inside/folder/secret", "inside"), ("outside/secret", "outside")]
        {
            let file = place.path().join(file);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, content).unwrap();
        }
        place
    }

    /// What a read gives, in a word.
    fn outcome(place: &TempDir, name: &str) -> String {
        match read(&place.path().join("inside"), Path::new(name), 1000) {
            Ok(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
            Err(Failure::Io(error)) => error.kind().to_string(),
            Err(failure) => format!("{failure:?}"),
        }
    }

    #[test]
    fn links_are_followed_as_long_as_they_lead_to_a_file_below_the_directory() {
        let place = place();
        let root = place.path().to_str().unwrap().to_owned();
        for (link, target, name, expected) in [
            ("beside", "secret", "beside", "inside"),
            ("down", "folder", "down/secret", "inside"),
            ("folder/up", "../secret", "folder/up", "inside"),
            ("absolute", &format!("{root}/inside/secret"), "absolute", "inside"),
            ("absolute_folder", &format!("{root}/inside/folder"), "absolute_folder/secret", "inside"),
            ("absolute_detour", &format!("{root}/outside/../inside/secret"), "absolute_detour", "inside"),
            ("twice", "absolute_folder/secret", "twice", "inside"),
            ("out", "../outside/secret", "out", "Astray"),
            ("out_and_in", "../inside/secret", "out_and_in", "inside"),
            ("absolute_out", &format!("{root}/outside/secret"), "absolute_out", "Astray"),
            ("folder_out", "../outside", "folder_out/secret", "Astray"),
            ("twice_out", "folder_out/secret", "twice_out", "Astray"),
            ("absolute_nothing", &format!("{root}/inside/nothing"), "absolute_nothing", "Astray"),
            ("nothing", "gone", "nothing", "entity not found"),
            ("circle", "circle", "circle", "Astray"),
        ] {
            symlink(target, place.path().join("inside").join(link)).unwrap();
            assert_eq!(outcome(&place, name), expected, "{link} -> {target}");
        }
    }

    #[test]
    fn a_secret_volume_of_kubernetes_is_read_before_and_after_it_is_updated() {
        let place = place();
        let inside = |name: &str| place.path().join("inside").join(name);
        symlink("..data/password", inside("password")).unwrap();
        for value in ["old", "new"] {
            std::fs::create_dir(inside(&format!("..2026_{value}"))).unwrap();
            std::fs::write(inside(&format!("..2026_{value}/password")), value).unwrap();
            symlink(format!("..2026_{value}"), inside("..data_tmp")).unwrap();
            std::fs::rename(inside("..data_tmp"), inside("..data")).unwrap();
            assert_eq!(outcome(&place, "password"), value);
        }
    }

    #[test]
    fn nothing_outside_is_read_however_fast_names_are_exchanged() {
        for (good, bad, name) in [
            ("secret", "../outside/secret", "swapped"),
            ("ROOT/inside/secret", "ROOT/outside/secret", "swapped"),
            ("folder", "../outside", "swapped/secret"),
            ("ROOT/inside/folder", "ROOT/outside", "swapped/secret"),
            ("a folder, no link", "ROOT/outside", "swapped/secret"),
        ] {
            let place = place();
            let inside = place.path().join("inside");
            let target = |text: &str| text.replace("ROOT", place.path().to_str().unwrap());
            symlink(target(bad), inside.join("other")).unwrap();
            match good {
                "a folder, no link" => {
                    std::fs::rename(inside.join("folder"), inside.join("swapped")).unwrap()
                }
                good => symlink(target(good), inside.join("swapped")).unwrap(),
            }
            let (read, refused, outside) = outcomes_while_exchanging(&place, name);
            assert!(read > 0 && refused > 0, "{good}: {read} reads, {refused} refusals");
            assert_eq!(outside, 0, "{good}: {read} reads, {refused} refusals");
        }
    }

    /// Reads while `swapped` and `other` are exchanged as fast as it goes; how often the file inside came out,
    /// how often none, how often the one outside.
    fn outcomes_while_exchanging(place: &TempDir, name: &str) -> (usize, usize, usize) {
        const WANTED: usize = 300;
        let [swapped, other] = ["inside/swapped", "inside/other"].map(|name| place.path().join(name));
        let (mut read, mut refused, mut outside) = (0, 0, 0);
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    renameat_with(CWD, &swapped, CWD, &other, RenameFlags::EXCHANGE).unwrap();
                }
            });
            while (read < WANTED || refused < WANTED) && read + refused + outside < 1000 * WANTED {
                match outcome(place, name).as_str() {
                    "inside" => read += 1,
                    "outside" => outside += 1,
                    _ => refused += 1,
                }
            }
            done.store(true, Ordering::Relaxed);
        });
        (read, refused, outside)
    }

    #[test]
    fn a_file_that_may_not_be_read_is_told_from_one_that_leads_out() {
        let place = place();
        let secret = place.path().join("inside/secret");
        std::fs::set_permissions(secret, PermissionsExt::from_mode(0o000)).unwrap();
        let denied = std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                // Of this thread only: without them, the mode counts for root as well.
                let none = CapabilitySet::empty();
                let none = CapabilitySets { effective: none, permitted: none, inheritable: none };
                set_capabilities(None, none).unwrap();
                outcome(&place, "secret")
            });
            reader.join().unwrap()
        });
        assert_eq!(denied, "permission denied");
    }

    #[test]
    fn ten_thousand_reads_leave_no_descriptor_open() {
        let place = place();
        symlink("../outside/secret", place.path().join("inside/out")).unwrap();
        symlink(place.path().join("inside/secret"), place.path().join("inside/absolute")).unwrap();
        let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
        let before = open();
        for name in ["secret", "absolute", "out", "folder", "nothing"].iter().cycle().take(10_000) {
            outcome(&place, name);
        }
        // Other tests of this process open some meanwhile.
        assert!(open() < before + 1000, "{before} before, {} after", open());
    }

    #[test]
    fn a_file_of_unknown_size_is_read_to_its_end() {
        let version = read(Path::new("/proc"), Path::new("version"), 1000).unwrap();
        assert_eq!(*version, std::fs::read("/proc/version").unwrap());
        assert!(matches!(read(Path::new("/proc"), Path::new("version"), 5), Err(Failure::TooLarge)));
    }

    /// Gives a byte at a time, and is interrupted before each.
    struct Dripping<'a>(&'a [u8], bool);

    impl Read for Dripping<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.1 = !self.1;
            match self.1 {
                true => Err(io::ErrorKind::Interrupted.into()),
                false => self.0.read(&mut buffer[..1]),
            }
        }
    }

    #[test]
    fn a_file_is_whole_or_not_read() {
        let content: Vec<u8> = (0..20_000_u32).map(|number| number as u8).collect();
        for (has, size, bytes_max, expected) in [
            (100, 100, 100, Ok(())),
            (100, 100, 99, Err("TooLarge")),
            (101, 100, 1000, Err("Changed")),
            (101, 100, 100, Err("TooLarge")),
            (99, 100, 1000, Err("Changed")),
            (0, 100, 1000, Err("Changed")),
            (0, 0, 1000, Ok(())),
            (20_000, 0, 20_000, Ok(())),
            (20_000, 0, 19_999, Err("TooLarge")),
            (4096, 0, 4096, Ok(())),
            (4097, 0, 4096, Err("TooLarge")),
            (1, 0, 1, Ok(())),
        ] {
            for dripping in [false, true] {
                let content = &content[..has];
                let read = match dripping {
                    true => read_whole(Dripping(content, false), size, bytes_max),
                    false => read_whole(content, size, bytes_max),
                };
                let read =
                    read.map(|bytes| assert_eq!(*bytes, content)).map_err(|error| format!("{error:?}"));
                assert_eq!(read, expected.map_err(str::to_owned), "{has} of {size}, at most {bytes_max}");
            }
        }
    }
}
