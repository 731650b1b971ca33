//! `vaultref render`: writes a file with its references replaced.

use std::fs::File;
use std::io::{self, BufWriter, Read};
use std::path::Path;

use vaultref::render::Format;
use vaultref::{Error, ErrorKind, Failure, StreamError};
use zeroize::Zeroizing;

use crate::args::{self, RenderFormat};
use crate::files::NewFile;
use crate::output;
use crate::report::{Problem, Source};
use crate::setup::{Session, unreadable};

/// The largest file that is read as a document; text of any size is streamed.
const DOCUMENT_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// How much of a file is read again to point into it.
const SHOWN_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// How much output is gathered before it is written.
const BUFFER_BYTES: usize = 64 * 1024;

pub(crate) fn render(session: &Session, args: &args::Render) -> Result<u8, Vec<Problem>> {
    let file = args.file.as_deref().filter(|path| *path != Path::new("-"));
    match format(args.format, file) {
        Format::Text => text(session, file, args.output.as_deref())?,
        format => document(session, format, file, args.output.as_deref())?,
    }
    Ok(crate::exit::OK)
}

fn format(format: RenderFormat, file: Option<&Path>) -> Format {
    match format {
        RenderFormat::Auto => file.map_or(Format::Text, Format::of_path),
        RenderFormat::Text => Format::Text,
        RenderFormat::Json => Format::Json,
        RenderFormat::Yaml => Format::Yaml,
        RenderFormat::Toml => Format::Toml,
        RenderFormat::Dotenv => Format::Dotenv,
        RenderFormat::Properties => Format::Properties,
    }
}

fn open(file: Option<&Path>) -> Result<Box<dyn Read>, Vec<Problem>> {
    Ok(match file {
        None => Box::new(io::stdin().lock()),
        Some(path) => {
            let opened = File::open(path).and_then(|file| match file.metadata()?.is_dir() {
                true => Err(io::ErrorKind::IsADirectory.into()),
                false => Ok(file),
            });
            Box::new(opened.map_err(|error| vec![unreadable(path, &error)])?)
        }
    })
}

fn text(session: &Session, file: Option<&Path>, output: Option<&Path>) -> Result<(), Vec<Problem>> {
    let input = open(file)?;
    let problems = |error| stream_problems(error, file, output);
    match output {
        None => {
            let stdout = BufWriter::with_capacity(BUFFER_BYTES, io::stdout().lock());
            session.runtime.block_on(session.engine.render_stream(input, stdout)).map_err(problems)
        }
        Some(path) => {
            let mut new = NewFile::at(path)?;
            session.runtime.block_on(session.engine.render_stream(input, new.writer())).map_err(problems)?;
            new.finish()
        }
    }
}

fn document(
    session: &Session,
    format: Format,
    file: Option<&Path>,
    output: Option<&Path>,
) -> Result<(), Vec<Problem>> {
    let mut text = Zeroizing::new(Vec::new());
    let label = label(file);
    open(file)?
        .take(DOCUMENT_BYTES_MAX + 1)
        .read_to_end(&mut text)
        .map_err(|error| vec![unreadable(Path::new(&label), &error)])?;
    if text.len() as u64 > DOCUMENT_BYTES_MAX {
        let message = format!("{label} is larger than {DOCUMENT_BYTES_MAX} bytes");
        let hint = "with `--format text` a file of any size is streamed";
        return Err(vec![Error::new(ErrorKind::InvalidConfig, message).with_hint(hint).into()]);
    }
    let rendered = session.runtime.block_on(session.engine.render_document(format, &text));
    let rendered = rendered.map_err(|failures| {
        let source = Source::file(label, String::from_utf8_lossy(&text));
        Problem::all_at(&source, failures)
    })?;
    match output {
        None => output::data(&rendered),
        Some(path) => {
            let mut new = NewFile::at(path)?;
            io::Write::write_all(new.writer(), &rendered)
                .map_err(|error| vec![output::write_failed(&error)])?;
            new.finish()
        }
    }
}

fn label(file: Option<&Path>) -> String {
    file.map_or("standard input".to_owned(), |path| path.display().to_string())
}

fn stream_problems(error: StreamError, file: Option<&Path>, output: Option<&Path>) -> Vec<Problem> {
    match error {
        StreamError::Read(error) => vec![unreadable(Path::new(&label(file)), &error)],
        StreamError::Write(error) if output.is_none() => vec![output::write_failed(&error)],
        StreamError::Write(error) => {
            vec![
                Error::new(
                    ErrorKind::InvalidConfig,
                    format!("the output cannot be written: {}", error.kind()),
                )
                .into(),
            ]
        }
        StreamError::Failures(failures) => placed(failures, file),
    }
}

/// Reads the file once more to show the lines; what came through a pipe is gone, and its byte is told instead.
fn placed(failures: Vec<Failure>, file: Option<&Path>) -> Vec<Problem> {
    let mut text = Zeroizing::new(Vec::new());
    let again = file.filter(|path| path.is_file()).and_then(|path| File::open(path).ok());
    let read = again.map(|file| file.take(SHOWN_BYTES_MAX).read_to_end(&mut text));
    let source =
        matches!(read, Some(Ok(_))).then(|| Source::file(label(file), String::from_utf8_lossy(&text)));
    let problem = |failure: Failure| match &source {
        Some(source) if failure.range.end <= source.len() => Problem::at(source, failure),
        _ => failure.error.within(format!("{}, byte {}", label(file), failure.range.start + 1)).into(),
    };
    failures.into_iter().map(problem).collect()
}
